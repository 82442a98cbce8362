"""The interaction log: who interacted with what, in time order."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from llara.data.catalog import Catalog
from llara.data.identifiers import Id, find_id
from llara.data.sequences import IntArray, Sequences


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
    by_time = interactions.select("user_id", "item_id", "timestamp").sort("timestamp", maintain_order=True)
    users = by_time["user_id"].unique(maintain_order=True)
    user_index = _positions(by_time["user_id"], users)
    item_ids = pl.Series(catalog.item_ids[1:], dtype=by_time["item_id"].dtype)
    item_index = _positions(by_time["item_id"], item_ids) + 1
    by_user = np.argsort(user_index, kind="stable")
    counts = np.bincount(user_index, minlength=len(users))
    sequences = Sequences(
        items=item_index[by_user],
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
        user_index=np.arange(len(users)),
    )
    return InteractionLog(sequences, by_time["timestamp"].to_numpy()[by_user], tuple(users))


def _positions(values: pl.Series, known: pl.Series) -> IntArray:
    """Where each value stands in `known`, shape [len(values)]."""
    lookup = pl.DataFrame({"id": known, "position": np.arange(len(known))})
    found = pl.DataFrame({"id": values}).join(lookup, on="id", how="left", maintain_order="left")["position"]
    assert found.null_count() == 0, "the identifiers were validated before"
    return found.to_numpy().astype(np.int64)
