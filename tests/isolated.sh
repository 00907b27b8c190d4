#!/bin/sh
# Installs each distribution alone, with only its own dependencies, and runs its unit tests there:
# the proof that no service leans on another's packages.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
links=${PIP_FIND_LINKS:-$(python3 -m pip config get global.find-links 2>/dev/null || true)}
export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo $links | tr ' ' ',')}"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
sed '/^torch==/,/[^\\]$/d' requirements.lock | grep -v -- '--hash' | sed 's/ \\$//' > "$root/pins.txt"
echo "torch==2.13.0" >> "$root/pins.txt"
backend=""
case "$(uname -s)" in Linux) [ -n "$UV_FIND_LINKS" ] || backend="--torch-backend cpu" ;; esac
for member in ${1:-libs/forge_engine services/*}; do
    case "$(uname -s)-$member" in Darwin-services/trainer-cuda) continue ;; esac
    echo "== $member alone"
    venv="$root/$(basename "$member")"
    "$uv" venv -q --python .venv/bin/python "$venv"
    locals="-e libs/forge_common"
    grep -q '"forge-engine' "$member/pyproject.toml" && locals="$locals -e libs/forge_engine"
    # shellcheck disable=SC2086
    "$uv" pip install -q -p "$venv/bin/python" $backend -c "$root/pins.txt" $locals -e "$member" pytest pytest-xdist pytest-socket hypothesis "psycopg[binary]" redis
    "$venv/bin/python" -m pytest -q -p no:cacheprovider -m "not integration and not e2e and not gpu and not metal" "$member/tests/unit"
done
