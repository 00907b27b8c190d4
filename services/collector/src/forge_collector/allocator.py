"""Tells glibc to give large blocks back to the system. Other systems' allocators do so by themselves and are left alone."""

from __future__ import annotations

import ctypes

# glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# From here on a block has pages of its own; what lies free at the end of a heap is kept up to so much.
LARGE, KEPT = 1 << 20, 4 << 20


def return_large_blocks() -> None:
    """For the whole process, before it has threads.

    Left alone, glibc learns from the first large block that is freed to take later ones, up to 32 MB, from the heap of
    the thread that asks. Whether they come back depends on what lies behind them, in the heap of every thread anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, KEPT)
