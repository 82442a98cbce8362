"""Commands in processes of their own, with the time and the memory that they took.

Imports the standard library only: Linux counts what the starting process holds as the peak of the started one.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import log, nan
from pathlib import Path
from statistics import linear_regression
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llara.evaluate import Interval

_PACKAGES = ("llara", "numpy", "polars", "pyarrow", "torch", "transformers", "peft")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a command took.

    Attributes:
        wall_seconds: From start to end, the interpreter's start included.
        cpu_seconds: Of all its threads and of its children.
        peak_bytes: Largest resident memory; pages of files that it maps count.
        cores_of_others: Cores that other processes kept busy meanwhile, on average; None where it cannot be told.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    cores_of_others: float | None


def measure(command: Sequence[str]) -> tuple[Cost, str]:
    """Run a command; its cost and its standard output.

    Raises:
        SystemExit: If the command fails; its messages have gone to standard error.
    """
    with tempfile.TemporaryFile("w+") as output:
        busy_before, start = _busy_seconds(), time.perf_counter()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall, busy_after = time.perf_counter() - start, _busy_seconds()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
        output.seek(0)
        text = output.read()
    cpu = usage.ru_utime + usage.ru_stime
    others = None
    if busy_before is not None and busy_after is not None:
        others = max(0.0, (busy_after - busy_before - cpu) / wall)
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall_seconds=wall, cpu_seconds=cpu, peak_bytes=usage.ru_maxrss * unit, cores_of_others=others), text


def growth_exponent(cost_of_size: Mapping[int, float]) -> float:
    """The b of cost = a * size ** b, by least squares on the logarithms; 1 is linear growth."""
    sizes = [log(size) for size in cost_of_size]
    return linear_regression(sizes, [log(cost) for cost in cost_of_size.values()]).slope


def ends(interval: "Interval | None") -> list[float]:
    """Both ends for a JSON list; NaN where there is no interval."""
    return [nan, nan] if interval is None else [interval.low, interval.high]


def machine() -> dict[str, object]:
    """Where and when: processor, cores, memory, versions, date."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.system(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _busy_seconds() -> float | None:
    """Seconds that all cores together have worked since the machine's start."""
    statistics = Path("/proc/stat")
    if not statistics.is_file():
        return None
    user, nice, system, _idle, _waiting, *interrupts = map(int, statistics.read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
