"""The catalog: every item with its title and metadata, in an order that tells nothing about the source's."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import polars as pl

from llara.data.columns import one_line
from llara.data.identifiers import Id, find_id
from llara.data.item_text import TITLE_ONLY, parse_item_text
from llara.data.sequences import IntArray
from llara.data.tables import listed
from llara.errors import ConfigError

_PERMUTATION_STREAM = 0x17E45


@dataclass(frozen=True)
class Catalog:
    """All items, numbered 1..num_items; index 0 is padding.

    Attributes:
        item_ids: The source's identifiers; `item_ids[item_index]`. Entry 0 stands for padding: "" or -1.
        titles: One line each, never empty; `titles[item_index]`. Entry 0 is "".
        noun: What an item is: "movie", "game", "artist", "book" or "item".
        metadata: Further columns; row i belongs to item index i + 1.
    """

    item_ids: tuple[Id, ...]
    titles: tuple[str, ...]
    noun: str
    metadata: pl.DataFrame

    @property
    def num_items(self) -> int:
        """Number of items, without padding."""
        return len(self.titles) - 1

    @cached_property
    def sha256(self) -> str:
        """Hash of the item identifiers in index order: equal for catalogs in which an index means the same item."""
        return hashlib.sha256("\n".join(repr(item_id) for item_id in self.item_ids).encode()).hexdigest()

    def index_of(self, item_id: Id) -> int:
        """The index of an item; "50" also finds the integer identifier 50.

        Raises:
            DataError: If no item has this identifier; the message names the nearest ones.
        """
        return find_id(item_id, self._index, what="item")

    def texts(self, template: str = TITLE_ONLY) -> tuple[str, ...]:
        """What a prompt may say about each item, such as "Toy Story (1995; Comedy)".

        Args:
            template: The title and any metadata, such as "{title} ({year}; {genres})"; `parse_item_text` says what
                becomes of missing values.

        Returns:
            One line per item index; entry 0, padding, is "".

        Raises:
            ConfigError: If the template is malformed or the catalog lacks one of its columns.
        """
        item_text = parse_item_text(template)
        self.refuse_unknown_columns(item_text.columns)
        return ("", *item_text.write(pl.Series(self.titles[1:], dtype=pl.String), self.metadata))

    def refuse_unknown_columns(self, columns: Iterable[str]) -> None:
        """Raise ConfigError where the catalog has no such metadata column; the message names the nearest one."""
        for column in columns:
            if column not in self.metadata.columns:
                near = get_close_matches(column, self.metadata.columns, n=1)
                remedy = f"Did you mean {near[0]!r}?" if near else f"It has {listed(self.metadata.columns)}."
                raise ConfigError(f"the catalog has no metadata column {column!r}. {remedy}")

    @cached_property
    def _index(self) -> dict[Id, int]:
        return {item_id: index for index, item_id in enumerate(self.item_ids) if index > 0}


def item_order(num_items: int, *, seed: int) -> IntArray:
    """Rows of the items file in index order: item index i + 1 is row `item_order(...)[i]`, shape [num_items].

    A seeded permutation, because the source's order can give targets away: the LLaRA release's LastFM histories ascend
    by artist id, so that the next higher id is often the answer.
    """
    return np.random.default_rng([seed, _PERMUTATION_STREAM]).permutation(num_items)


def build_catalog(items: pl.DataFrame, *, noun: str, seed: int) -> Catalog:
    """A catalog from validated items.

    Args:
        items: Columns `item_id` (int64 or string, distinct), `title`, and any metadata.
        noun: What an item is.
        seed: Seed of the permutation of the item indices.
    """
    ordered = items[item_order(len(items), seed=seed)]
    padding: Id = -1 if items["item_id"].dtype == pl.Int64 else ""
    return Catalog(
        item_ids=(padding, *ordered["item_id"]),
        titles=("", *one_line(ordered["title"])),
        noun=noun,
        metadata=ordered.drop("item_id", "title"),
    )
