"""What a split gives away: everything that could make a result look better than it is."""

from llara.leakage.checking import Finding, check_dataset, check_loaded
from llara.leakage.finding import LEAK_NAMES, LeakageFinding, refuse_unknown_leaks
from llara.leakage.report import check_leakage

__all__ = [
    "LEAK_NAMES",
    "Finding",
    "LeakageFinding",
    "check_dataset",
    "check_leakage",
    "check_loaded",
    "refuse_unknown_leaks",
]
