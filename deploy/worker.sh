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
fi

if [ ! -f "${FORGE_VENV:-.venv}/.forge-setup" ]; then
    free_gb=$(($(df -Pk . | awk 'NR==2 {print $4}') / 1048576))
    [ "$free_gb" -ge "$room_gb" ] ||
        fail "the environment takes up to $room_gb GB, $(pwd) has $free_gb GB free" "free some space, or clone to a larger disk"
fi

sh deploy/setup.sh

prepare=""
for word in "$@"; do [ "$word" = --prepare ] && prepare=yes; done
[ -z "$prepare" ] || { echo "Ready to join."; exit 0; }
exec "${FORGE_VENV:-.venv}/bin/forge" worker "$@"
