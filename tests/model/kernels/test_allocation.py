"""How the process holds memory: freed blocks stay with it, compiled kernels of past shapes do not."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from llara.model.kernels.allocation import keep_freed_memory

_FAULTS = """
import resource, sys, torch
from llara.model.kernels.allocation import keep_freed_memory
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


_KERNELS = """
import psutil, llara, torch
weight = torch.randn(1024, 256, dtype=torch.bfloat16)
for rows in range(100, 700):
    torch.randn(rows, 256, dtype=torch.bfloat16) @ weight.T
print(psutil.Process().memory_info().rss)
"""


def _run(script: str, environment: dict[str, str]) -> int:
    kept = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    command = [sys.executable, "-c", script]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=kept | environment).stdout)


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no kernels for bfloat16 here")
def test_compiled_kernels_of_past_shapes_are_dropped() -> None:
    everything = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "1024"}
    ours, all_kept = _run(_KERNELS, {}), _run(_KERNELS, everything)
    assert ours < 0.85 * all_kept
