#!/bin/sh
# Installs each distribution alone, with only its own dependencies (and pytest's), and runs its tests there, unit and
# integration: the proof that no service leans on another's packages. `tests/isolated.sh services/gateway` does one.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
links=${PIP_FIND_LINKS:-$(python3 -m pip config get global.find-links 2>/dev/null || true)}
export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo $links | tr ' ' ',')}"
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
torch=$(sed -n 's/^TORCH=//p' deploy/setup.sh)
sed '/^torch==/,/[^\\]$/d' requirements.lock | grep -v -- '--hash' | sed 's/ \\$//' > "$root/pins.txt"
echo "torch==$torch" >> "$root/pins.txt"
backend=""
if [ "$(uname -s)" = Linux ] && [ -z "$UV_FIND_LINKS" ]; then backend="--torch-backend cpu"; fi
marks=${MARKS:-not e2e and not gpu and not metal}
for member in ${1:-libs/forge_common libs/forge_engine services/*}; do
    case "$(uname -s)-$member" in Darwin-services/trainer-cuda) continue ;; esac
    echo "== $member alone"
    venv="$root/$(basename "$member")"
    "$uv" venv -q --python .venv/bin/python "$venv"
    locals="-e libs/forge_common"
    case "$member" in *forge_common) locals="-e libs/forge_common[db,queue,http,weights,local]" ;; esac
    grep -q '"forge-engine' "$member/pyproject.toml" && locals="$locals -e libs/forge_engine"
    # The weights' tests serve their exports once, in the engine's library.
    [ "$member" = libs/forge_common ] && locals="$locals -e libs/forge_engine"
    [ "$member" = libs/forge_common ] || locals="$locals -e $member"
    # shellcheck disable=SC2086
    "$uv" pip install -q --no-config -p "$venv/bin/python" $backend -c "$root/pins.txt" $locals --group "$member/pyproject.toml:dev" -e "libs/forge_common[testing,local]"
    "$venv/bin/python" -m pytest -q -p no:cacheprovider -n 2 -m "$marks" "$member/tests"
done
