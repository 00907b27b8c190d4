#!/bin/sh
# Makes this machine train for another machine's Forge, with Python 3.11+ and this repository and nothing else:
# checks driver and disk, creates .venv with the right torch, joins. Run again, it only joins.
#   FORGE_KEY=… deploy/worker.sh cuda|mlx|cpu --registry URL [--ca sha256:…] [--prepare]
# `--prepare` stops before joining: for images and services.
set -eu
cd "$(dirname "$0")/.."

fail() { echo "✗ $1" >&2; echo "  → $2" >&2; exit 1; }

hardware=${1:-}
case "$hardware" in
    cuda) room_gb=14; default=auto ;;
    cpu) room_gb=5; default=cpu ;;
    mlx) room_gb=4; default=none ;;
    *) fail "a worker needs its hardware named" "deploy/worker.sh cuda|mlx|cpu --registry URL" ;;
esac
export FORGE_TORCH="${FORGE_TORCH:-$default}"

# The driver first: torch for CUDA is gigabytes.
if [ "$hardware" = cuda ]; then
    command -v nvidia-smi >/dev/null 2>&1 ||
        fail "there is no nvidia-smi on this machine" "install NVIDIA's driver (Ubuntu: sudo ubuntu-drivers install), restart, try again"
    said=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1) ||
        fail "nvidia-smi says: $(echo "$said" | head -n 1)" "mend the driver (a restart after its update often does), try again"
    echo "$said" | sed 's/^/card: /'
    # What CUDA 12 asks for; no build of this torch is for an older one. A field may be missing, a name may hold commas.
    driver=$(echo "$said" | head -n 1 | awk -F', ' '{split($(NF - 1), v, "."); print v[1]}')
    case "$driver" in
        ''|*[!0-9]*) ;;
        *) [ "$driver" -ge 525 ] ||
            fail "the driver is $driver; torch needs 525 or newer, and 580 for the newest cards" "install a newer driver (Ubuntu: sudo ubuntu-drivers install), restart, try again" ;;
    esac
fi

# Wheels are unpacked beside the cache and linked from there; on another disk they are copied.
existing() { d=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; echo "$d"; }
free_gb() { echo $(($(df -Pk "$1" | awk 'NR==2 {print $4}') / 1048576)); }
if [ ! -f "${FORGE_VENV:-.venv}/.forge-setup" ]; then
    cache=$(existing "${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/}/.cache}}")
    for place in . "$cache"; do
        [ "$(free_gb "$place")" -ge "$room_gb" ] ||
            fail "the environment takes up to $room_gb GB, $(cd "$place" && pwd) has $(free_gb "$place") GB free" "free some space, clone to a larger disk, or set UV_CACHE_DIR to a folder on one"
    done
fi

# Before gigabytes come: what joining another machine will ask for anyway.
case " $* " in
    *" --prepare "*|*" --key "*|*" --key="*) ;;
    *" --registry "*|*" --registry="*) [ -n "${FORGE_KEY:-}" ] ||
        fail "there is no key" "\`forge keys add NAME\` on the machine with the data prints one; give it as FORGE_KEY=…" ;;
esac

sh deploy/setup.sh

prepare=""
for word in "$@"; do [ "$word" = --prepare ] && prepare=yes; done
[ -z "$prepare" ] || { echo "Ready to join."; exit 0; }
exec "${FORGE_VENV:-.venv}/bin/forge" worker "$@"
