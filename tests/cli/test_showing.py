"""What the terminal says of an evaluation."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from llara.cli import console, showing
from llara.evaluate import ModelResult, compare_results


def _shown(target_counts: list[int], monkeypatch: pytest.MonkeyPatch) -> str:
    recorded = Console(width=80, file=StringIO(), record=True)
    monkeypatch.setattr(console, "out", recorded)
    rows = len(target_counts)
    results = [ModelResult(name, np.ones((1, rows), dtype=np.int64), 20, ("a",), 1.0) for name in ("sasrec", "llara")]
    by_length = np.arange(rows) % 8
    sliced_by = {"target_count": np.array(target_counts), "history_length": by_length}
    showing.show_rare_targets(compare_results(results, baseline="sasrec", sliced_by=sliced_by))
    return recorded.export_text()


def test_rare_targets_are_shown_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = " ".join(_shown([0] * 15 + [30] * 25, monkeypatch).split())
    for part in (
        "how often the right item occurs in training",
        "15 rows",
        "25 rows",
        "sasrec",
        "llara",
        "1-4, 5-19, 100+",
    ):
        assert part in shown
    assert "earlier items" not in shown, "the terminal shows one slicing, the report both"


def test_targets_of_one_bucket_are_no_table_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _shown([30] * 40, monkeypatch) == ""
