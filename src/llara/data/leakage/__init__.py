"""Leak checks: what could make a result look better than it is."""

from llara.data.leakage.finding import LEAK_NAMES, LeakageFinding, refuse_unknown_leaks
from llara.data.leakage.report import check_leakage

__all__ = ["LEAK_NAMES", "LeakageFinding", "check_leakage", "refuse_unknown_leaks"]
