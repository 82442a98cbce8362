"""The experiment pages can be read: an index, conclusions on top, a date for each trial, no wall of text in a table."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
INDEX = (DOCS / "experiments.md").read_text(encoding="utf-8")
PAGES = sorted((DOCS / "experiments").glob("*.md"))


def test_the_index_lists_every_page_with_its_conclusion() -> None:
    listed = re.findall(r"^\| \[[^\]]+\]\(experiments/([a-z-]+\.md)\) \| .+ \|$", INDEX, flags=re.MULTILINE)
    assert sorted(listed) == [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_its_conclusion_first(page: Path) -> None:
    title, empty, first = page.read_text(encoding="utf-8").splitlines()[:3]
    assert title.startswith("# ")
    assert empty == ""
    assert first.startswith("**Conclusion.** ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_trial_has_a_date_and_a_decision(page: Path) -> None:
    for trial in page.read_text(encoding="utf-8").split("\n## ")[1:]:
        assert re.search(r"\b20\d\d-\d\d-\d\d\b", trial), trial
        assert "*Decision:*" in trial, trial


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_row_of_a_table_is_longer_than_a_line(page: Path) -> None:
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [row for row in rows if len(row) > 130] == []
