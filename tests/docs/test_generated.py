"""Pages that are made from the code and from stored measurements say what those say now."""

from pathlib import Path

import pytest

import llara
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


def test_every_setting_stands_on_the_page_with_its_meaning() -> None:
    page = PAGES[ROOT / "docs" / "settings.md"]
    for key, default in (("train.epochs", "5"), ("backbone.lora.rank", "8"), ("practice.phases[].share", "**needed**")):
        assert f"| `{key}` | " in page
        assert default in page.partition(f"| `{key}` | ")[2].partition("|")[0]
    without = [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert without == []


def test_the_reference_has_every_public_name_and_no_address() -> None:
    page = PAGES[ROOT / "docs" / "api.md"]
    for name in set(llara.__all__) - {"__version__"}:
        assert f"\n### `{name}`\n" in page
    assert " at 0x" not in page
