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

##@ Work on it
setup: ## Make .venv with everything that this machine needs
	@sh deploy/setup.sh

check: setup ## Format, lint, types, imports, unit tests: under two minutes
	@.venv/bin/ruff format --check -q . && .venv/bin/ruff check -q .
	@.venv/bin/mypy $(SOURCES)
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m pytest -q -m "not integration and not e2e and not gpu and not metal" -n 2 libs services tests

fmt: setup ## Format and mend what can be mended
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .

test: check test-integration test-e2e test-isolated ## Everything: unit, integration, end to end, each service alone

test-integration: setup ## Real Postgres, Redis, engine, training; one service each
	@$(PY) -m pytest -q -m integration libs services tests

test-e2e: setup ## The whole loop, and what killing its processes does to it
	@$(PY) -m pytest -q -m e2e tests

test-isolated: setup ## Each service's unit tests with nothing but that service installed
	@sh tests/isolated.sh

lock: ## Resolve requirements.lock anew from the members' dependencies
	@sh deploy/lock.sh

##@ Measure it
bench-proxy: setup ## CPU per request of the proxy core beside its peers
	@$(PY) libs/forge_common/bench/proxy_bench.py

.PHONY: help demo up down setup check fmt test test-integration test-e2e test-isolated lock bench-proxy
