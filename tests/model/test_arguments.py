"""What callers give is checked where it enters; the message names the row."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llara.errors import ConfigError, DataError
from llara.model import Llara, generate_answers, score_candidates

Build = Callable[..., Llara]


@pytest.fixture(scope="module")
def llara(build: Build) -> Llara:
    return build("nano")


@pytest.mark.parametrize(
    ("histories", "candidates", "message"),
    [
        ([[103], [104]], [[101, 102], [101]], "row 1 has 1 candidates, row 0 has 2"),
        ([[103], [104]], [[101], [101, 102]], "row 1 has 2 candidates, row 0 has 1"),
        ([[103], [104]], [[101, 102]], "found 2 histories and 1 lists of candidates"),
        ([[103], []], [[101], [102]], "row 1: history is empty"),
        ([[103], [104]], [[], []], "row 0: candidates is empty"),
        ([["103", "104"], "105"], [[101], [102]], "got the text '105'"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(histories: Any, candidates: Any, message: str, llara: Llara) -> None:
    for scorer in ("answer", "listwise"):
        with pytest.raises(DataError, match=message):
            llara.score(histories, candidates, scorer=scorer)


@pytest.mark.parametrize("scorer", ["anwser", "", "Listwise"])
def test_a_scorer_that_does_not_exist_is_refused(scorer: Any, llara: Llara) -> None:
    with pytest.raises(ConfigError, match="must be one of answer, listwise"):
        llara.score([[103]], [[101, 102]], scorer=scorer)
    with pytest.raises(ConfigError, match="must be one of answer, listwise"):
        score_candidates(llara, [[3]], [[1, 2]], scorer=scorer)


def test_the_nearest_scorer_is_named(llara: Llara) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'answer'"):
        llara.score([[103]], [[101, 102]], scorer="anwser")  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [0, -1, 25])
@pytest.mark.parametrize("ask", [score_candidates, generate_answers])
def test_indices_that_are_no_items_are_refused(ask: Callable[..., object], item: int, llara: Llara) -> None:
    with pytest.raises(DataError, match=f"row 1: history holds item index {item}; expected 1 to 24"):
        ask(llara, [[3], [item]], [[1], [2]])
    with pytest.raises(DataError, match=f"row 0: candidates holds item index {item}"):
        ask(llara, [[3]], [[1, item]])


def test_a_history_longer_than_trained_is_cut_with_a_word(
    build: Build, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    build("nano").save_pretrained(tmp_path / "untrained")
    assert Llara.from_pretrained(tmp_path / "untrained").history_length is None
    made = build("nano")
    made.history_length = 3
    made.save_pretrained(tmp_path / "trained")
    opened = Llara.from_pretrained(tmp_path / "trained")
    with caplog.at_level(logging.WARNING, logger="llara"):
        short = opened.score([[102, 103, 104]], [[110, 111]])
        assert not caplog.records
        cut = opened.score([[102, 103, 104], [101, 102, 103, 104]], [[110, 111]] * 2)
    np.testing.assert_allclose(cut, np.repeat(short, 2, axis=0), atol=1e-5)
    assert "row 1 has a history of 4 items, the model was trained on 3 at most" in caplog.text
    four = [101, 102, 103, 104]
    assert opened.recommend(four, k=20) == opened.recommend(four, k=20, history_length=3)
    assert opened.recommend(four, k=20) != opened.recommend(four, k=20, history_length=4)
