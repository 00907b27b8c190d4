#!/bin/sh
# Makes .venv with everything that the Forge needs on this machine. Run again, it only does what is missing.
# Torch is chosen by hardware and stays out of the lock: CUDA with an NVIDIA card, the CPU build on plain Linux, none on
# Apple silicon (trainer-mlx trains there). FORGE_TORCH=none|cpu|auto|cu126|… overrides.
set -eu
cd "$(dirname "$0")/.."
TORCH=2.13.0
python=${PYTHON:-python3}
venv=${FORGE_VENV:-.venv}

command -v "$python" >/dev/null 2>&1 ||
    { echo "There is no $python on this machine. The Forge needs Python 3.11 or newer: install it (Debian, Ubuntu: python3 and python3-venv), or set PYTHON=/path/to/python3.12." >&2; exit 1; }
"$python" - <<'CHECK' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit(f"The Forge needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}. Set PYTHON=python3.12, say.")
CHECK

# uv from PATH, else from the venv itself.
if [ ! -x "$venv/bin/python" ]; then
    if command -v uv >/dev/null 2>&1; then
        uv venv -q --python "$python" "$venv"
    else
        # Half a venv would be taken for a whole one the next time.
        "$python" -m venv "$venv" || { rm -rf "$venv"; echo "$python -m venv failed: install python3-venv (Debian, Ubuntu), or uv" >&2; exit 1; }
    fi
fi
if command -v uv >/dev/null 2>&1; then uv=uv; else
    [ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install -q uv
    uv="$venv/bin/uv"
fi

# What pip was told about certificates and local wheels holds for uv too. `pip config get` would read one file of several.
pip_says() { "$python" -m pip config list 2>/dev/null | sed -n "s/^global\\.$1='\\(.*\\)'\$/\\1/p" | sed 's/\\n/ /g'; }
cert=${SSL_CERT_FILE:-${PIP_CERT:-$(pip_says cert)}}
[ -z "$cert" ] || export SSL_CERT_FILE="$cert"
links=${PIP_FIND_LINKS:-$(pip_says find-links)}
# pip separates by spaces, uv by commas.
export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo $links | tr ' ' ',')}"

torch=${FORGE_TORCH:-}
if [ -z "$torch" ]; then
    case "$(uname -s)-$(uname -m)" in
        Darwin-arm64) torch=none ;;
        *) if nvidia-smi -L >/dev/null 2>&1; then torch=auto; else torch=cpu; fi ;;
    esac
fi
stamp=$( (cat requirements.lock libs/*/pyproject.toml services/*/pyproject.toml "$0"; echo "$torch") | cksum)
if [ "$(cat "$venv/.forge-setup" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

echo "Setting up $venv ..."
"$uv" pip install -q -p "$venv/bin/python" --no-deps --require-hashes -r requirements.lock

has_wheel() { for d in $(echo "$UV_FIND_LINKS" | tr "," " "); do ls "$d"/torch-$TORCH*cpu*.whl >/dev/null 2>&1 && return 0; done; return 1; }
# Of the right version; and where a card is to be used on Linux, built for CUDA, for that one which was named.
has_torch() {
    "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '$TORCH')" 2>/dev/null || return 1
    case "$(uname -s)-$torch" in
        Darwin-*|*-cpu) return 0 ;;
        *) "$venv/bin/python" - "$torch" <<'CUDA' ;;
import runpy, sys
from importlib.machinery import PathFinder
from pathlib import Path

cuda = runpy.run_path(str(Path(PathFinder.find_spec("torch").origin).with_name("version.py")))["cuda"]
wanted = sys.argv[1]
sys.exit(cuda is None or (wanted.startswith("cu") and "cu" + cuda.replace(".", "") != wanted))
CUDA
    esac
}
# Without the workspace's configuration, which keeps torch out of every resolution.
install_torch() { "$uv" pip install -q --no-config --reinstall-package torch -p "$venv/bin/python" "$@" "torch==$TORCH"; }
if [ "$torch" != none ] && ! has_torch; then
    if [ "$torch" = cpu ] && has_wheel; then install_torch; else install_torch --torch-backend "$torch"; fi
    has_torch || { echo "torch $TORCH for $torch is not there after its installation; FORGE_TORCH=cpu trains on the CPU, FORGE_TORCH=none goes on without trainer-cuda" >&2; exit 1; }
fi

members=""
for m in libs/* services/*; do
    case "$m" in
        services/trainer-cuda) [ "$torch" = none ] && continue ;;
    esac
    members="$members -e $m"
done
# shellcheck disable=SC2086
"$uv" pip install -q -p "$venv/bin/python" --no-deps $members
echo "$stamp" > "$venv/.forge-setup"
echo "Ready."
