"""The last step of every import: a `RawLog` or `RawRows`, as a reader gives it, is shaped and written as a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from llara.data.columns import refuse_unknown, same_kind
from llara.data.folder import DatasetInfo, write_dataset
from llara.data.splits import SplitConfig
from llara.data.tables import Table
from llara.errors import ConfigError
from llara.ingest.shaping import ShapeConfig, shape_interactions


@dataclass(frozen=True, kw_only=True)
class RawLog:
    """A log and a catalog as read.

    Attributes:
        interactions: `user_id`, `item_id` (int64 or string), `timestamp` (int64 seconds, or places where there are no
            times) and, where known, `rating` (float64); rows in the file's order and traceable to it.
        items: `item_id`, one-line `title`, metadata; identifiers are distinct.
        origin: Where it came from and every option that shaped it, for `dataset.json`.
        drop_unknown_items: Leave out interactions with items that are not listed, instead of refusing them.
        used_items_only: Whether items without interactions are left out unless told otherwise.
    """

    interactions: Table
    items: pl.DataFrame
    origin: dict[str, object] = field(default_factory=dict)
    drop_unknown_items: bool = False
    used_items_only: bool = False


@dataclass(frozen=True, kw_only=True)
class RawRows:
    """Released training and evaluation rows as read.

    Attributes:
        rows: `split`, `user_id`, `history` (list of item ids, oldest first), `target`.
        interactions: The log that was rebuilt from them, with positions as timestamps.
        items: `item_id`, `title`, metadata.
        origin: Where they came from, for `dataset.json`.
    """

    rows: pl.DataFrame
    interactions: pl.DataFrame
    items: pl.DataFrame
    origin: dict[str, object] = field(default_factory=dict)


def refuse_bad_split(split: Mapping[str, object] | None, *, has_times: bool = True, has_rows: bool = False) -> None:
    """Raise ConfigError where a data set is meant to be split in a way that it cannot be: a look before long work."""
    method = SplitConfig(**dict(split or {})).method  # type: ignore[arg-type]
    if method == "rows" and not has_rows and split and "method" in split:
        raise ConfigError("--split rows needs released rows (--rows), and this is a log. Choose another way to split.")
    if method == "time" and not has_times:
        raise ConfigError("--split time needs real times, and this data set has an order only. Choose another way.")


def write_log(
    raw: RawLog,
    output: Path,
    *,
    name: str | None,
    noun: str,
    shape: ShapeConfig,
    split: Mapping[str, object] | None,
    force: bool,
) -> DatasetInfo:
    """Shape a log and write its dataset folder, whole or not at all.

    Args:
        raw: What was read.
        output: The dataset folder.
        name: Name of the data set. None: the name of the output folder.
        noun: What an item is.
        shape: Which interactions count.
        split: How the data set is meant to be split, as in `DatasetInfo`.
        force: Replace an existing dataset folder.

    Raises:
        DataError: If an item is unknown, or no interaction is left.
        ConfigError: If the output exists, or `min_rating` is asked for without a rating.
    """
    log = raw.interactions
    if shape.min_rating is not None and "rating" in log.frame.columns:
        log = log.filter(log.frame["rating"] >= shape.min_rating)  # what is not kept may name unknown items
    frame, dropped = _with_known_items(log, raw)
    frame = shape_interactions(frame, shape, source=log.source)
    items = raw.items
    only_used = shape.used_items_only
    if only_used or (only_used is None and (raw.used_items_only or shape.core > 1)):
        items = items.filter(pl.col("item_id").is_in(frame["item_id"].unique().implode()))
    origin = {**raw.origin, "shape": shape.recorded(), "dropped_unknown_items": dropped}
    return write_dataset(
        output,
        interactions=frame,
        items=items,
        name=name or output.name,
        noun=noun,
        origin=origin,
        split=split,
        force=force,
    )


def write_rows(
    raw: RawRows,
    output: Path,
    *,
    name: str | None,
    noun: str,
    split: Mapping[str, object] | None,
    force: bool,
) -> DatasetInfo:
    """Write the dataset folder of released rows, whole or not at all; it is meant to be split by them.

    Raises:
        ConfigError: If the output exists.
    """
    return write_dataset(
        output,
        interactions=raw.interactions,
        items=raw.items,
        rows=raw.rows,
        name=name or output.name,
        noun=noun,
        origin=raw.origin,
        split={"method": "rows", **(split or {})},
        force=force,
    )


def _with_known_items(log: Table, raw: RawLog) -> tuple[pl.DataFrame, int]:
    """Interactions with items of the catalog, and how many others were left out."""
    ids, known = same_kind(log.frame["item_id"], raw.items["item_id"])
    if not raw.drop_unknown_items:
        refuse_unknown(log, ids, known, "the items", remedy="Add them there, or pass --drop-unknown-items.")
        return log.frame.with_columns(ids), 0
    is_known = ids.is_in(known.implode())
    return log.frame.with_columns(ids).filter(is_known), int((~is_known).sum())
