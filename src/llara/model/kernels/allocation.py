"""How the process holds memory."""

import ctypes
import platform
from functools import cache

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_REUSED = 32 * 2**20
"""Bytes; the C library refuses a larger threshold."""
_AHEAD = 256 * 2**20
_NEVER = -1


@cache
def keep_freed_memory() -> bool:
    """Let the process keep memory that tensors free, for the next tensors; returns whether the C library does so.

    glibc gives every block of more than 128 KB back to the system and gets it again page by page, each of them cleared
    first. For a model on CPUs that is a third of the time of scoring (docs/experiments.md). The price: the process
    holds on to the most that it ever needed. Other C libraries are left alone; GPU memory has an allocator of its own.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_THRESHOLD, _LARGEST_REUSED), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _AHEAD))
    return all(set_option(option, value) == 1 for option, value in settings)
