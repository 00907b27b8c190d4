#!/bin/sh
# Resolves requirements.lock: every third-party package of all members, with hashes, for Linux and macOS.
# It names no index, so that it holds behind any mirror; torch stays out (deploy/setup.sh picks it by hardware).
set -eu
cd "$(dirname "$0")/.."
override=$(mktemp)
trap 'rm -f "$override"' EXIT
echo "torch ; sys_platform == 'never'" > "$override"
members=""
skip=""
for m in libs/* services/*; do
    members="$members $m/pyproject.toml"
    skip="$skip --no-emit-package $(sed -n 's/^name = "\(.*\)"/\1/p' "$m/pyproject.toml" | head -n 1)"
done
uv=$(command -v uv || echo .venv/bin/uv)
# shellcheck disable=SC2086
"$uv" pip compile -q --universal --python-version 3.11 --all-extras --group dev --group services/evaluator/pyproject.toml:dev --group libs/forge_common/pyproject.toml:dev --group libs/forge_engine/pyproject.toml:dev --group services/collector/pyproject.toml:dev --generate-hashes --no-emit-index-url \
    --no-emit-find-links --no-annotate --no-header --override "$override" $skip -o requirements.lock pyproject.toml $members
