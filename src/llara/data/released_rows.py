"""Released rows of a dataset folder: training and evaluation examples that somebody published, kept as they are.

How they get into the folder is `llara.ingest.released`.
"""

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
    """Interactions from rows: each row gives its target, and its history where that is not known from the row before.

    Rows that name their users are put together by user, in the released order. In rows that name none, consecutive
    training rows in which each continues the one before (its history is that one's history and target, cut to the width
    of the histories) are one user, and every other row is a user of its own.

    Args:
        rows: `split`, `history` (list), `target`, in the released order; `user_id` where they name users.

    Returns:
        The rows with `user_id` ("train-0001" where they name none), and interactions whose timestamp is the position in
        the user's sequence.
    """
    is_named = "user_id" in rows.columns
    order = np.arange(len(rows))
    if is_named:
        order = np.argsort(rows["user_id"].rank("dense").to_numpy(), kind="stable")
    grouped = rows[order]
    starts = ~_continues_previous(grouped)
    if not is_named:
        grouped = grouped.with_columns(_invented_users(grouped, starts))
    row = pl.int_range(len(rows), dtype=pl.Int64, eager=True)
    opening = pl.DataFrame([grouped["user_id"], grouped["history"].alias("item_id"), (2 * row).alias("order")])
    opening = opening.filter(pl.Series(starts) & (pl.col("item_id").list.len() > 0)).explode("item_id")
    targets = pl.DataFrame([grouped["user_id"], grouped["target"].alias("item_id"), (2 * row + 1).alias("order")])
    events = pl.concat([opening, targets]).sort("order", maintain_order=True)
    events = events.with_columns(timestamp=pl.int_range(pl.len()).over("user_id"))
    released = grouped[np.argsort(order)]
    return released, events.select("user_id", "item_id", "timestamp")


def _invented_users(rows: pl.DataFrame, starts: NDArray[np.bool_]) -> pl.Series:
    """Names of users that rows do not name: the split and a number in it, a new one at each start."""
    first = rows.filter(pl.Series(starts))
    number = first.select(pl.int_range(1, pl.len() + 1).over("split", order_by=pl.int_range(pl.len())))["literal"]
    names = pl.DataFrame([first["split"], number.alias("number")]).select(
        pl.format("{}-{}", "split", pl.col("number").cast(pl.String).str.zfill(4))
    )
    return names.to_series()[np.cumsum(starts) - 1].alias("user_id")


def _continues_previous(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Whether each row follows the one above it in a user's sequence, shape [rows].

    Where users are unnamed, only training rows are put together.
    """
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
    if "user_id" in rows.columns:
        users = rows["user_id"].rank("dense").to_numpy()
        can_continue = users[1:] == users[:-1]
    else:
        is_train = (rows["split"] == "train").to_numpy()
        can_continue = is_train[:-1] & is_train[1:] & (lengths[1:] > 0)
    continues[1:] = (expected[:-1] == history[1:]).all(axis=1) & can_continue
    return continues


def _flat(lists: pl.Series) -> pl.Series:
    """The elements of all lists; an empty list gives none."""
    return lists.filter(lists.list.len() > 0).explode()
