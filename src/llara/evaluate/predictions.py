"""Predictions as Parquet: what each model made of each row, in the source's own ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llara.data.files import write_atomically, write_parquet
from llara.data.sequences import IntArray
from llara.errors import DataError
from llara.evaluate.metrics import Scores, target_ranks

IdArray = NDArray[Any]
_COLUMNS = ("row", "draw", "user_id", "target_id", "candidate_ids", "scores", "rank", "chosen_id", "answer")


@dataclass(frozen=True, eq=False)
class Predictions:
    """One model's predictions. Ids are the source's own (integers or strings).

    Attributes:
        user_ids: User of each row, shape [N].
        target_ids: Item that the user really chose, shape [draws, N].
        candidate_ids: The items offered, shape [draws, N, C].
        scores: Score of each candidate, shape [draws, N, C]; None for free generation.
        ranks: Rank of the target, shape [draws, N].
        chosen_ids: Item that the model put first or named, None where its answer was invalid, [draws][N].
        answers: Generated text, [draws][N]; None where candidates were scored.
    """

    user_ids: IdArray
    target_ids: IdArray
    candidate_ids: IdArray
    scores: Scores | None
    ranks: IntArray
    chosen_ids: Sequence[Sequence[int | str | None]]
    answers: Sequence[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        draws, rows = self.ranks.shape
        sizes = {
            "user_ids": self.user_ids.shape == (rows,),
            "target_ids": self.target_ids.shape == (draws, rows),
            "candidate_ids": self.candidate_ids.ndim == 3 and self.candidate_ids.shape[:2] == (draws, rows),
            "scores": self.scores is None or self.scores.shape == self.candidate_ids.shape,
            "chosen_ids": [len(draw) for draw in self.chosen_ids] == [rows] * draws,
            "answers": self.answers is None or [len(draw) for draw in self.answers] == [rows] * draws,
        }
        wrong = [name for name, fits in sizes.items() if not fits]
        if wrong:
            raise DataError(f"predictions: `{wrong[0]}` does not fit the {draws} draws x {rows} rows of the ranks")


def predictions_from_scores(
    scores: Scores, *, candidates: IntArray, target_column: IntArray, user_ids: IdArray, item_ids: IdArray
) -> Predictions:
    """Predictions of a model that scored every candidate.

    Args:
        scores: Higher is better, shape [draws, N, C].
        candidates: Item indices, shape [draws, N, C].
        target_column: Column of the target, shape [draws, N].
        user_ids: The source's id of each row's user, shape [N].
        item_ids: The source's id by item index, shape [num_items + 1] (entry 0 is padding).
    """
    candidate_ids = item_ids[candidates]
    ranks = np.array([target_ranks(s, c) for s, c in zip(scores, target_column, strict=True)])
    # NaN rows have rank C; showing their first column as chosen keeps the file free of nulls that mean "invalid answer"
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=2)
    return Predictions(
        user_ids=user_ids,
        target_ids=_pick(candidate_ids, target_column),
        candidate_ids=candidate_ids,
        scores=scores,
        ranks=ranks,
        chosen_ids=_pick(candidate_ids, best).tolist(),
    )


def predictions_from_choices(
    chosen: IntArray,
    *,
    answers: Sequence[Sequence[str]],
    candidates: IntArray,
    target_column: IntArray,
    user_ids: IdArray,
    item_ids: IdArray,
) -> Predictions:
    """Predictions of free generation.

    Args:
        chosen: Item index that each answer names, 0 where it is invalid, shape [draws, N].
        answers: The generated text, [draws][N].
        candidates: Item indices, shape [draws, N, C].
        target_column: Column of the target, shape [draws, N].
        user_ids: The source's id of each row's user, shape [N].
        item_ids: The source's id by item index, shape [num_items + 1] (entry 0 is padding).
    """
    target = _pick(candidates, target_column)
    names = item_ids[chosen].tolist()
    return Predictions(
        user_ids=user_ids,
        target_ids=item_ids[target],
        candidate_ids=item_ids[candidates],
        scores=None,
        ranks=np.where((chosen > 0) & (chosen == target), 1, candidates.shape[2]),
        chosen_ids=[
            [name if item > 0 else None for name, item in zip(*draw, strict=True)]
            for draw in zip(names, chosen.tolist(), strict=True)
        ],
        answers=answers,
    )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one line per draw and row; an earlier file survives an interruption.

    Columns: row, draw, user_id, target_id, candidate_ids (list), scores (list or null), rank, chosen_id (null where
    the answer was invalid), answer (generated text or null).
    """
    draws, rows = predictions.ranks.shape
    lines = draws * rows
    scores = predictions.scores
    id_type = pl.Int64 if predictions.candidate_ids.dtype.kind in "iu" else pl.String
    frame = pl.DataFrame(
        {
            "row": np.tile(np.arange(rows), draws),
            "draw": np.repeat(np.arange(draws), rows),
            "user_id": predictions.user_ids.tolist() * draws,
            "target_id": pl.Series(predictions.target_ids.ravel().tolist(), dtype=id_type),
            "candidate_ids": pl.Series(predictions.candidate_ids.reshape(lines, -1).tolist(), dtype=pl.List(id_type)),
            "scores": pl.Series(
                [None] * lines if scores is None else scores.reshape(lines, -1).tolist(), dtype=pl.List(pl.Float64)
            ),
            "rank": predictions.ranks.ravel(),
            "chosen_id": pl.Series([name for draw in predictions.chosen_ids for name in draw], dtype=id_type),
            "answer": pl.Series(
                [None] * lines
                if predictions.answers is None
                else [text for draw in predictions.answers for text in draw],
                dtype=pl.String,
            ),
        }
    )
    write_atomically(path, lambda target: write_parquet(frame, target))


def read_predictions(path: Path) -> Predictions:
    """Read a file written by `write_predictions`.

    Raises:
        DataError: If the file is missing, is no Parquet file, lacks a column or a line.
    """
    frame = _read_frame(path)
    draws = int(frame["draw"].n_unique())
    rows = frame.height // max(draws, 1)
    if frame.height == 0 or draws * rows != frame.height:
        raise DataError(
            f"{path}: expected the same number of lines for each of {draws} draws, found {frame.height} lines in all. "
            f"Run `llara evaluate` to write it anew."
        )
    frame = frame.sort("draw", "row")
    candidates = np.array(frame["candidate_ids"].to_list())
    scored = frame["scores"].null_count() == 0
    generated = frame["answer"].null_count() == 0
    chosen = frame["chosen_id"].to_list()
    answers = frame["answer"].to_list()
    starts = range(0, frame.height, rows)
    return Predictions(
        user_ids=np.array(frame["user_id"].to_list()[:rows]),
        target_ids=np.array(frame["target_id"].to_list()).reshape(draws, rows),
        candidate_ids=candidates.reshape(draws, rows, -1),
        scores=np.array(frame["scores"].to_list(), dtype=np.float64).reshape(draws, rows, -1) if scored else None,
        ranks=frame["rank"].cast(pl.Int64).to_numpy().reshape(draws, rows),
        chosen_ids=[chosen[start : start + rows] for start in starts],
        answers=[answers[start : start + rows] for start in starts] if generated else None,
    )


def _read_frame(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: there is no such predictions file. Run `llara evaluate` to write it.")
    try:
        frame = pl.read_parquet(path, memory_map=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path}: expected a Parquet file of predictions ({error}). Run `llara evaluate` again."
        ) from error
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: expected the column '{missing[0]}', found {', '.join(frame.columns)}. "
            f"Is it a predictions file of `llara evaluate`?"
        )
    return frame


def _pick(values: NDArray[Any], column: IntArray) -> NDArray[Any]:
    """The entry of each row at its column: [draws, N, C] and [draws, N] -> [draws, N]."""
    return np.take_along_axis(values, column[..., None], axis=-1)[..., 0]
