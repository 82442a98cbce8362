from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llara.errors import DataError
from llara.evaluate import (
    Predictions,
    predictions_from_choices,
    predictions_from_scores,
    read_predictions,
    write_predictions,
)

INTEGER_IDS = np.array([-1, 50, 181, 100, 258])
STRING_IDS = np.array(["", "b-50", "b-181", "b-100", "ü"])
CANDIDATES = np.array([[[1, 2], [3, 4], [2, 3]], [[2, 1], [4, 1], [3, 1]]])  # [2 draws, 3 rows, 2]
TARGET_COLUMN = np.array([[0, 1, 1], [1, 0, 0]])
SCORES = np.array([[[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], [[0.1, 0.9], [0.2, 0.3], [np.nan, 0.1]]])


def _scored(item_ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Predictions:
    return predictions_from_scores(
        SCORES, candidates=CANDIDATES, target_column=TARGET_COLUMN, user_ids=np.array([7, 8, 9]), item_ids=item_ids
    )


def test_predictions_speak_the_ids_of_the_source() -> None:
    predictions = _scored(INTEGER_IDS)
    assert predictions.target_ids.tolist() == [[50, 258, 100], [50, 258, 100]]
    assert predictions.candidate_ids[0].tolist() == [[50, 181], [100, 258], [181, 100]]
    assert predictions.ranks.tolist() == [[1, 2, 1], [1, 2, 2]]
    assert predictions.chosen_ids == [[50, 100, 100], [50, 50, 50]]


@pytest.mark.parametrize("item_ids", [INTEGER_IDS, STRING_IDS])
def test_scored_predictions_survive_the_file(
    item_ids: np.ndarray[tuple[int], np.dtype[np.int64]], tmp_path: Path
) -> None:
    written = _scored(item_ids)
    path = tmp_path / "predictions" / "hybrid.parquet"
    write_predictions(path, written)
    again = read_predictions(path)
    assert again.user_ids.tolist() == written.user_ids.tolist()
    assert again.target_ids.tolist() == written.target_ids.tolist()
    assert again.candidate_ids.tolist() == written.candidate_ids.tolist()
    assert again.ranks.tolist() == written.ranks.tolist()
    assert again.chosen_ids == written.chosen_ids
    assert again.scores is not None
    assert np.array_equal(again.scores, SCORES, equal_nan=True)
    assert again.answers is None


def test_generated_predictions_survive_the_file(tmp_path: Path) -> None:
    answers = [["Alien", "Aliens", "?"], ["Alien", "", "Fargo"]]
    written = predictions_from_choices(
        np.array([[1, 3, 0], [1, 0, 3]]),
        answers=answers,
        candidates=CANDIDATES,
        target_column=TARGET_COLUMN,
        user_ids=np.array(["x", "y", "z"]),
        item_ids=STRING_IDS,
    )
    write_predictions(tmp_path / "free.parquet", written)
    again = read_predictions(tmp_path / "free.parquet")
    assert again.ranks.tolist() == [[1, 2, 2], [1, 2, 1]]
    assert again.chosen_ids == [["b-50", "b-100", None], ["b-50", None, "b-100"]]
    assert (again.scores, again.answers) == (None, answers)
    assert again.user_ids.tolist() == ["x", "y", "z"]


def test_the_file_is_plain_parquet_with_one_line_per_draw_and_row(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.parquet", _scored(INTEGER_IDS))
    frame = pl.read_parquet(tmp_path / "p.parquet")
    assert frame.height == 6
    assert frame.row(4, named=True) == {
        "row": 1,
        "draw": 1,
        "user_id": 8,
        "target_id": 258,
        "candidate_ids": [258, 50],
        "scores": [0.2, 0.3],
        "rank": 2,
        "chosen_id": 50,
        "answer": None,
    }


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(DataError, match="no such predictions file"):
        read_predictions(path)
    path.write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match="expected a Parquet file"):
        read_predictions(path)
    write_predictions(path, _scored(INTEGER_IDS))
    whole = pl.read_parquet(path)
    whole.drop("rank").write_parquet(path)
    with pytest.raises(DataError, match="expected the column 'rank'"):
        read_predictions(path)
    whole.head(5).write_parquet(path)
    with pytest.raises(DataError, match="found 5 lines"):
        read_predictions(path)


def test_parts_of_other_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="`user_ids` does not fit the 2 draws x 3 rows"):
        replace(_scored(INTEGER_IDS), user_ids=np.array([1, 2]))
