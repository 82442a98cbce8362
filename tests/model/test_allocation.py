"""Freed memory stays with the process: blocks of megabytes come back without being cleared again."""

import platform
import subprocess
import sys

import pytest

from llara.model.allocation import keep_freed_memory

_FAULTS = """
import resource, sys, torch
from llara.model.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
blocks = [torch.ones(2**21) for _ in range(12)]
del blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    blocks = [torch.ones(2**21) for _ in range(12)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives blocks back at once")
def test_blocks_are_not_asked_for_again() -> None:
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "give back")
    )
    assert kept < given_back / 10


def test_it_is_done_once_and_says_whether_it_was() -> None:
    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")
