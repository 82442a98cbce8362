"""Released rows: training and evaluation examples that somebody published, read as they are."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llara.data.catalog import Catalog
from llara.data.columns import id_column, refuse_unknown, same_kind
from llara.data.examples import Examples, SplitName
from llara.data.log import InteractionLog, positions_of
from llara.data.sequences import IntArray
from llara.data.tables import Table
from llara.errors import DataError


@dataclass(frozen=True)
class ReleasedRows:
    """Examples as released, in the released order, short histories included.

    Attributes:
        train: Training rows; `user_index` refers to the log that was rebuilt from the rows.
        validation: Validation rows.
        test: Test rows.
    """

    train: Examples
    validation: Examples
    test: Examples


def validated_rows(table: Table, items: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Rows with `split`, `user_id`, `history` (list of item ids) and `target`; DataError names a bad row."""
    split = table.column("split", "the column name").cast(pl.String)
    wrong = (~split.is_in(get_args(SplitName)).fill_null(False)).arg_true()
    if len(wrong):
        raise DataError(
            f"{table.locate(wrong[0])}: split {split[wrong[0]]!r} is none of {', '.join(get_args(SplitName))}."
        )
    users = id_column(table, "user_id", "the column name")
    target, known = same_kind(id_column(table, "target", "the column name"), items["item_id"])
    refuse_unknown(table, target, known, "the items")
    history = table.column("history", "the column name")
    if history.dtype != pl.List:
        raise DataError(f"{table.source}: column 'history' is {history.dtype}, expected a list of item ids.")
    history = history.cast(pl.List(known.dtype))
    seen = pl.DataFrame({"row": np.arange(len(history)), "item_id": history})
    seen = seen.filter(pl.col("item_id").list.len() > 0).explode("item_id")
    places = seen["row"]
    refuse_unknown(
        Table(seen, table.source, lambda at: f"{table.locate(places[at])} (history)"),
        seen["item_id"],
        known,
        "the items",
    )
    users, log_users = same_kind(users, interactions["user_id"])
    strangers = (~users.is_in(log_users.unique().implode())).arg_true()
    if len(strangers):
        raise DataError(f"{table.locate(strangers[0])}: user {users[strangers[0]]!r} has no interactions.")
    return pl.DataFrame([split, users.alias("user_id"), history.alias("history"), target.alias("target")])


def build_rows(rows: pl.DataFrame, catalog: Catalog, log: InteractionLog) -> ReleasedRows:
    """Examples from validated rows."""
    item_ids = pl.Series(catalog.item_ids[1:], dtype=rows["target"].dtype)
    user_ids = pl.Series(log.user_ids, dtype=rows["user_id"].dtype)
    length = rows["history"].list.len().cast(pl.Int64).to_numpy()
    examples = Examples(
        history=pad_right(positions_of(_flat(rows["history"]), item_ids) + 1, length),
        history_length=length,
        target=positions_of(rows["target"], item_ids) + 1,
        user_index=positions_of(rows["user_id"], user_ids),
    )
    train, validation, test = ((rows["split"] == name).arg_true().to_numpy() for name in get_args(SplitName))
    return ReleasedRows(examples.select(train), examples.select(validation), examples.select(test))


def pad_right(flat: IntArray, lengths: IntArray, *, padding: int = 0) -> IntArray:
    """Ragged rows, stored one after the other, as one matrix, shape [rows, longest]."""
    visible = np.arange(lengths.max(initial=0)) < lengths[:, None]
    padded = np.full(visible.shape, padding, dtype=np.int64)
    padded[visible] = flat
    return padded


def rebuild_interactions(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Users and their interactions from rows that name no users.

    Consecutive training rows in which each continues the one before (its history is that one's history and target, cut
    to the width of the histories) are one user. Every other row is a user of its own.

    Args:
        rows: `split`, `history` (list), `target`, in the released order.

    Returns:
        The rows with `user_id` ("train-0001"), and interactions whose timestamp is the position in the user's sequence.
    """
    starts = ~_continues_previous(rows)
    user = np.cumsum(starts) - 1
    first = rows.filter(pl.Series(starts))
    number = first.select(pl.int_range(1, pl.len() + 1).over("split", order_by=pl.int_range(pl.len())))["literal"]
    names = pl.DataFrame([first["split"], number.alias("number")]).select(
        pl.format("{}-{}", "split", pl.col("number").cast(pl.String).str.zfill(4))
    )
    user_ids = names.to_series()[user].alias("user_id")
    opening = pl.DataFrame({"user": np.arange(len(first)), "item_id": first["history"]})
    parts = [
        opening.filter(pl.col("item_id").list.len() > 0)
        .explode("item_id")
        .with_columns(order=pl.lit(0, dtype=pl.Int64)),
        pl.DataFrame({"user": user, "item_id": rows["target"], "order": np.arange(1, len(rows) + 1)}),
    ]
    events = pl.concat(parts).sort("user", "order", maintain_order=True)
    events = events.with_columns(timestamp=pl.int_range(pl.len()).over("user"))
    users = names.to_series()[events["user"].to_numpy()].alias("user_id")
    return rows.with_columns(user_ids), events.select(users, "item_id", "timestamp")


def _continues_previous(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each row is the training row that follows the one above it in a user's sequence, shape [rows]."""
    lengths = rows["history"].list.len().cast(pl.Int64).to_numpy()
    seen = _flat(rows["history"])
    known = pl.concat([seen, rows["target"]]).unique()
    target = positions_of(rows["target"], known)
    history = pad_right(positions_of(seen, known), lengths, padding=-1)  # [rows, width]
    width = history.shape[1]
    is_full = lengths == width
    extended = np.concatenate([history, np.full((len(rows), 1), -1)], axis=1)
    extended[np.arange(len(rows)), lengths] = target
    expected = np.where(is_full[:, None], extended[:, 1:], extended[:, :width])
    continues = np.zeros(len(rows), dtype=bool)
    is_train = (rows["split"] == "train").to_numpy()
    continues[1:] = (expected[:-1] == history[1:]).all(axis=1) & is_train[:-1] & is_train[1:] & (lengths[1:] > 0)
    return continues


def _flat(lists: pl.Series) -> pl.Series:
    """The elements of all lists; an empty list gives none."""
    return lists.filter(lists.list.len() > 0).explode()
