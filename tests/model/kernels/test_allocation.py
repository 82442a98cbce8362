"""How the process holds memory: freed blocks stay with it, compiled kernels of past shapes do not."""

import json
import os
import platform
import subprocess
import sys

import pytest
import torch

from llara.cli.limits import KERNEL_LIMITS
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
import psutil, torch
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
    ours, all_kept = _run(_KERNELS, KERNEL_LIMITS), _run(_KERNELS, everything)
    assert ours < 0.85 * all_kept


def _environment(script: str, **environment: str) -> dict[str, str]:
    """The environment of a process after a script, as the process itself and C libraries see it."""
    kept = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    report = script + "\nimport json, os\nprint(json.dumps(dict(os.environ)))"
    command = [sys.executable, "-c", report]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=kept | environment)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


_IMPORTS = "import llara, llara.cli, llara.serve, llara.data\n"


def test_importing_llara_leaves_the_environment_alone() -> None:
    assert not set(KERNEL_LIMITS) & set(_environment(_IMPORTS + "llara.Llara\n"))


_COMMAND = """
import sys
sys.argv = ["llara", "--help"]
from llara.cli import main
assert "torch" not in sys.modules, "too late for the limits"
try:
    main()
except SystemExit:
    pass
"""


def test_the_command_line_has_the_limits_before_torch_starts() -> None:
    found = _environment(_COMMAND)
    assert {name: found[name] for name in KERNEL_LIMITS} == KERNEL_LIMITS


def test_limits_that_the_user_set_stay() -> None:
    found = _environment(_COMMAND, ONEDNN_PRIMITIVE_CACHE_CAPACITY="7")
    assert found["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
    assert found["LRU_CACHE_CAPACITY"] == KERNEL_LIMITS["LRU_CACHE_CAPACITY"]
