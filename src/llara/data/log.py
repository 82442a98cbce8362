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
    item_ids = pl.Series(catalog.item_ids[1:], dtype=interactions["item_id"].dtype)
    item_index = pl.Series(positions_of(interactions["item_id"], item_ids) + 1)
    users = (
        interactions.select("user_id", "timestamp", item_index=item_index)
        .sort("timestamp", maintain_order=True)
        .group_by("user_id", maintain_order=True)  # keeps the order of the rows within each group
        .agg("item_index", "timestamp")
    )
    lengths = users["item_index"].list.len().cast(pl.Int64).to_numpy()
    sequences = Sequences(
        items=users.drop_in_place("item_index").explode().to_numpy(writable=True),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        user_index=np.arange(len(users)),
    )
    timestamps = users.drop_in_place("timestamp").explode().to_numpy(writable=True)
    return InteractionLog(sequences, timestamps, tuple(users["user_id"].to_list()))


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
