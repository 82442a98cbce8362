"""Ablations: many runs that differ in named options, from one file, with one page of results."""

from llara.run.sweep.cells import Cell, Sweep, read_sweep
from llara.run.sweep.page import save_page
from llara.run.sweep.results import Compared, SweepResults, compare_cells
from llara.run.sweep.work import SweepOutcome, run_sweep

__all__ = [
    "Cell",
    "Compared",
    "Sweep",
    "SweepOutcome",
    "SweepResults",
    "compare_cells",
    "read_sweep",
    "run_sweep",
    "save_page",
]
