"""Pages that are made from the code and from stored measurements say what those say now."""

from pathlib import Path

import pytest

from docs.generate.marks import filled
from docs.generate.pages import ROOT, current

PAGES = current()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_page_is_current(path: Path) -> None:
    found = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert found == PAGES[path], f"{path.relative_to(ROOT)} is stale; run `make docs`"


def test_what_is_between_the_marks_is_replaced_and_nothing_else() -> None:
    page = "before\n<!-- a:start -->\nold\n<!-- a:end -->\nafter <!-- b:start --><!-- b:end -->"
    assert filled(page, "a", "new") == (
        "before\n<!-- a:start -->\n\nnew\n\n<!-- a:end -->\nafter <!-- b:start --><!-- b:end -->"
    )


@pytest.mark.parametrize("page", ["", "<!-- a:end --><!-- a:start -->", 2 * "<!-- a:start -->" + "<!-- a:end -->"])
def test_a_page_without_one_place_for_the_content_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="<!-- a:start -->"):
        filled(page, "a", "new")
