"""The interaction log: who interacted with what, in time order."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from llara.data.catalog import Catalog
from llara.data.identifiers import Id, find_id
from llara.data.sequences import IntArray, Sequences

_ROWS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class InteractionLog:
    """One item sequence per user, oldest first; ties in time keep the file's order.

    Attributes:
        sequences: Row r belongs to user index r. Users are ordered by their first interaction (ties: file order).
        timestamps: Seconds since 1970 (UTC), aligned with `sequences.items`, shape [N].
        user_ids: The source's identifiers; `user_ids[user_index]`.
    """

    sequences: Sequences
    timestamps: IntArray
    user_ids: tuple[Id, ...]

    @property
    def num_users(self) -> int:
        """Number of users, each with at least one interaction."""
        return len(self.user_ids)

    def user_index_of(self, user_id: Id) -> int:
        """The index of a user; "50" also finds the integer identifier 50.

        Raises:
            DataError: If no user has this identifier; the message names the nearest ones.
        """
        return find_id(user_id, self._index, what="user")

    @cached_property
    def _index(self) -> dict[Id, int]:
        return {user_id: index for index, user_id in enumerate(self.user_ids)}


def build_log(interactions: pl.DataFrame, catalog: Catalog) -> InteractionLog:
    """A log from validated interactions.

    Args:
        interactions: Columns `user_id`, `item_id`, `timestamp` (int64); every item is in the catalog.
        catalog: Gives the item indices.
    """
    by_time = np.argsort(interactions["timestamp"].to_numpy(), kind="stable")
    user_ids, user_index = _users(interactions["user_id"], by_time)
    rows = by_time[np.argsort(user_index, kind="stable")]
    counts = np.bincount(user_index, minlength=len(user_ids))
    del by_time, user_index
    item_ids = pl.Series(catalog.item_ids[1:], dtype=interactions["item_id"].dtype)
    items = positions_of(interactions["item_id"], item_ids)[rows]
    items += 1
    sequences = Sequences(
        items=items,
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
        user_index=np.arange(len(user_ids)),
    )
    return InteractionLog(sequences, interactions["timestamp"].to_numpy()[rows], user_ids)


def positions_of(values: pl.Series, known: pl.Series) -> IntArray:
    """Where each value stands in `known`, shape [len(values)].

    Args:
        values: Identifiers, each of them known.
        known: Distinct identifiers of the same type.
    """
    lookup = pl.DataFrame({"id": known, "position": np.arange(len(known))})
    positions = np.empty(len(values), dtype=np.int64)
    rows_at_once = max(_ROWS_AT_ONCE, 2 * len(known))  # each block builds the hash table of `known` anew
    for start in range(0, len(values), rows_at_once):
        block = values[start : start + rows_at_once]
        found = pl.DataFrame({"id": block}).join(lookup, on="id", how="left", maintain_order="left")["position"]
        assert found.null_count() == 0, "the identifiers were validated before"
        positions[start : start + rows_at_once] = found.to_numpy()
    return positions


def _users(values: pl.Series, by_time: IntArray) -> tuple[tuple[Id, ...], IntArray]:
    """Users in the order of their first interaction, and the user index of each interaction in time order, shape [N].

    Args:
        values: The user's identifier of each interaction.
        by_time: Rows in time order.
    """
    known = values.unique()
    positions = positions_of(values, known)[by_time]
    by_first = pl.Series(positions).unique(maintain_order=True).to_numpy()
    index_of = np.empty(len(known), dtype=np.int64)
    index_of[by_first] = np.arange(len(known))
    return tuple(known[by_first].to_list()), index_of[positions]
