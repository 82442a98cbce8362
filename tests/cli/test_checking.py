"""What `llara data check` shows a person."""

from pathlib import Path

import pytest

from llara.cli.checking import show_checked
from llara.leakage import Finding, LeakageFinding
from llara.run.data_check import CheckedFolder


def test_what_needs_a_decision_stands_alone_and_leaks_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    leakage = [
        LeakageFinding("own-future", "ok", "no training sequence reaches a target."),
        LeakageFinding("metadata", "warning", "a column goes along"),
        LeakageFinding("item-order", "leak", "sorted by title"),
        LeakageFinding("shared-users", "ok", "no user is in two parts."),
    ]
    show_checked(CheckedFolder(Path("data/mine"), [Finding("warning", "few items")], leakage, "users"))
    shown = capsys.readouterr().out
    parts = [
        "few items",
        "item-order",
        "sorted by title",
        "metadata",
        "no leak found, split by users, by own-future, shared-users",
    ]
    places = [shown.index(part) for part in (*parts, "data/mine: 0 errors, 2 warnings, 1 leak: `llara train`")]
    assert places == sorted(places)
    assert "no training sequence" not in shown


@pytest.mark.parametrize(
    ("findings", "verdict"), [([], "can be used"), ([Finding("error", "no title")], "cannot be used")]
)
def test_the_last_line_says_what_it_comes_to(
    capsys: pytest.CaptureFixture[str], findings: list[Finding], verdict: str
) -> None:
    leakage = [LeakageFinding("shared-users", "ok", "no user is in two parts.")]
    show_checked(CheckedFolder(Path("data/mine"), findings, leakage, "users"))
    shown = capsys.readouterr().out.rstrip().split("\n")
    assert shown[-1].endswith(f": {verdict}")
    assert "┃" not in "".join(shown)
