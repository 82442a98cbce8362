"""Which candidate an answer names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.prompt import named_candidate, normalize_answer


def test_aliens_does_not_name_alien() -> None:
    # The released code searches for substrings (FACTS.md 4.4).
    assert named_candidate("Aliens", ["Alien", "Heat"]) is None
    assert named_candidate("Aliens", ["Alien", "Aliens"]) == 1
    assert named_candidate("Alien", ["Alien", "Aliens"]) == 0


def test_an_empty_title_or_answer_names_nothing() -> None:
    # MovieLens' item "unknown" becomes the empty string in the released code, which matches everything.
    assert named_candidate("Heat", ["", "Heat"]) == 1
    for empty in ("", "  ", "\n \n"):
        assert named_candidate(empty, ["", "Heat"]) is None


def test_two_candidates_of_one_title_are_both_unnamed() -> None:
    assert named_candidate("Dune", ["Dune", "Heat", "Dune"]) is None
    assert named_candidate("Heat", ["Dune", "Heat", "Dune"]) == 1


@pytest.mark.parametrize("answer", ["blade runner", "  Blade   Runner ", "BLADE RUNNER\nand more", "\n\nBlade\tRunner"])
def test_case_white_space_and_further_lines_do_not_count(answer: str) -> None:
    assert named_candidate(answer, ["Heat", "Blade Runner"]) == 1


def test_titles_are_told_apart_by_more_than_a_line_separator() -> None:
    assert named_candidate("A\x1cB", ["A", "A\x1cB"]) == 1


def test_case_is_folded_beyond_ascii() -> None:
    assert normalize_answer("STRASSE  Amélie") == normalize_answer("straße AMÉLIE")


@given(
    titles=st.lists(
        st.text(min_size=1).filter(lambda text: text.strip() and "\n" not in text),
        min_size=1,
        unique_by=normalize_answer,
    ),
    data=st.data(),
)
def test_every_distinct_title_names_itself(titles: list[str], data: st.DataObject) -> None:
    column = data.draw(st.integers(0, len(titles) - 1))
    assert named_candidate(titles[column], titles) == column
