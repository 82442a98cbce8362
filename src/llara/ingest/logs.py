"""`import_log`: an interaction log and a catalog, in files of one's own, become a dataset folder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from llara.data.columns import CANONICAL_INTEGER, id_column, number_column, title_column
from llara.data.files import refuse_taken
from llara.data.folder import INFO_FILE, DatasetInfo, validated_items
from llara.data.tables import Table
from llara.data.times import Moments, TimeUnit, moments
from llara.errors import ConfigError, DataError
from llara.ingest.readers import read_table
from llara.ingest.shaping import ShapeConfig
from llara.ingest.text_files import TextFormat
from llara.ingest.writing import RawLog, refuse_bad_split, write_log

MissingItems = Literal["refuse", "drop", "cut"]


@dataclass(frozen=True, kw_only=True)
class LogColumns:
    """Which column of a log is what.

    Attributes:
        user: The user's identifier.
        item: The item's identifier.
        time: Numbers or ISO dates. None: the order of the rows is the order in time.
        time_unit: What numbers in it count; "order": they are places in an order, no times; "date": days such as
            20200131. None: seconds; refused where they can hardly be seconds.
        title: Of the items file where there is one.
        rating: "auto": `rating` if there is one; None: there is none.
        items_item: The item's identifier in the items file, if it is named otherwise there.
    """

    user: str = "user_id"
    item: str = "item_id"
    time: str | None = "timestamp"
    time_unit: TimeUnit | None = None
    title: str = "title"
    rating: str | None = "auto"
    items_item: str | None = None

    def __post_init__(self) -> None:
        if self.time is None and self.time_unit is not None:
            raise ConfigError(
                f"--time-unit {self.time_unit} says what times count, and --time none says that there are none."
            )

    def names(self) -> dict[str, str | None]:
        """Of the columns of the log, for a dataset folder's origin."""
        return {name: getattr(self, name) for name in ("user", "item", "time", "title", "rating")}


def import_log(
    interactions: Path,
    output: Path,
    *,
    items: Path | None = None,
    columns: LogColumns | None = None,
    missing_items: MissingItems = "refuse",
    drop_unknown_items: bool = False,
    shape: ShapeConfig | None = None,
    split: Mapping[str, object] | None = None,
    name: str | None = None,
    noun: str = "item",
    text: TextFormat | None = None,
    items_text: TextFormat | None = None,
    force: bool = False,
) -> DatasetInfo:
    """Make a dataset folder from an interaction log and a catalog.

    Args:
        interactions: CSV, TSV, other separated text, JSON Lines or Parquet, one interaction per row. The order of the
            rows decides between equal timestamps.
        output: The dataset folder to make.
        items: One row per item; further columns become metadata. None: `interactions` itself names the titles.
        columns: Which column is what. None: as in a dataset folder.
        missing_items: Rows without an item: "refuse" or "drop" them, or "cut" their users' histories before the first.
        drop_unknown_items: Leave out interactions with items that `items` does not list, instead of refusing them.
        shape: Which interactions count. None: all.
        split: How the data set is meant to be split: `method`, `history_length`, `min_history` of `SplitConfig`.
        name: Name of the data set. None: the name of the output folder.
        noun: "movie", "game", "artist", "book" or "item".
        text: How separated text is written.
        items_text: The same for `items`, if it differs.
        force: Replace an existing dataset folder.

    Raises:
        UnclearTimeUnitError: If times are probably no seconds and `columns.time_unit` does not say.
        DataError: If a file or column is missing, or a row is malformed; the message names file and line.
        ConfigError: If options do not fit each other, or the output exists.
    """
    refuse_taken(output, force=force, marker=INFO_FILE)
    columns = columns or LogColumns()
    refuse_bad_split(split, has_times=columns.time is not None and columns.time_unit != "order")
    log = _read_log(interactions, text, columns, items)
    columns = replace(columns, rating=_rating_column(log, columns.rating))
    log, num_missing = _without_missing_items(log, missing_items, columns)
    catalog, num_other = _items(log, items, columns, items_text or text)
    raw = RawLog(
        interactions=_typed(log, columns),
        items=catalog,
        origin={
            "interactions": interactions.name,
            "items": None if items is None else items.name,
            "columns": columns.names(),
            "timestamps": _meaning_of_times(columns),
            "missing_items": missing_items,
            "dropped_rows_at_missing_items": num_missing,
            "dropped_other_titles_of_items": num_other,
        },
        drop_unknown_items=drop_unknown_items,
    )
    del log
    return write_log(raw, output, name=name, noun=noun, shape=shape or ShapeConfig(), split=split, force=force)


def _meaning_of_times(columns: LogColumns) -> str:
    if columns.time is None:
        return "file order"
    return "positions" if columns.time_unit == "order" else "seconds"


def _items(log: Table, items: Path | None, columns: LogColumns, text: TextFormat | None) -> tuple[pl.DataFrame, int]:
    """The catalog, and how many titles of the log beside the first of an item there are."""
    if items is None:
        return _items_from_log(log, item=columns.item, title=columns.title)
    table = read_table(items, text)
    return items_from_file(table, item=columns.items_item or columns.item, title=columns.title), 0


def _read_log(path: Path, text: TextFormat | None, columns: LogColumns, items: Path | None) -> Table:
    """The columns that are needed, the title where no items file has it."""
    rating = "rating" if columns.rating == "auto" else columns.rating
    wanted = (columns.user, columns.item, columns.time, rating, columns.title if items is None else None)
    return read_table(path, text, columns=[name for name in wanted if name is not None])


def _rating_column(log: Table, rating: str | None) -> str | None:
    if rating != "auto":
        return rating
    return "rating" if "rating" in log.frame.columns else None


def _without_missing_items(log: Table, mode: MissingItems, columns: LogColumns) -> tuple[Table, int]:
    """The rows that stay, and how many do not."""
    items = log.column(columns.item, "--item")
    missing = items.is_null()
    if items.dtype == pl.String:
        missing |= items.str.strip_chars() == ""
    missing = missing.fill_null(True)
    if mode == "refuse" or not missing.any():
        return log, 0
    if mode == "drop":
        return log.filter(~missing), int(missing.sum())
    time = _moments(log, columns).ticks.alias("time")
    frame = pl.DataFrame([log.column(columns.user, "--user").alias("user"), time, missing.alias("missing")])
    in_time = frame.with_row_index("row").sort("time", maintain_order=True)
    is_past = pl.col("missing").cast(pl.Int8).cum_max().over("user") > 0
    past = in_time.filter(is_past)["row"]
    is_before = ~pl.int_range(len(frame), dtype=pl.UInt32, eager=True).is_in(past.implode())
    return log.filter(is_before), len(past)


def _moments(log: Table, columns: LogColumns) -> Moments:
    if columns.time is None:
        return Moments(pl.int_range(len(log.frame), eager=True), 1)
    return moments(log, columns.time, "--time (or say that there is none)", unit=columns.time_unit)


def _typed(log: Table, names: LogColumns) -> Table:
    """The log's columns by the names and types of a dataset folder; in time order where seconds would lose it."""
    found = _moments(log, names)
    columns = [
        id_column(log, names.user, "--user").alias("user_id"),
        id_column(log, names.item, "--item").alias("item_id"),
        found.seconds(),
    ]
    if names.rating is not None:
        columns.append(number_column(log, names.rating, "--rating").alias("rating"))
    typed = log.with_frame(pl.DataFrame(columns))
    return typed.take(np.argsort(found.ticks.to_numpy(), kind="stable")) if found.are_finer else typed


def items_from_file(table: Table, *, item: str, title: str) -> pl.DataFrame:
    """Items as a dataset folder has them; columns whose names are taken become "source_...".

    Raises:
        DataError: If a column is missing, an identifier appears twice, or a title is empty.
    """
    table.column(item, "--items-item"), table.column(title, "--title")
    taken: dict[str, str] = {name: f"source_{name}" for name in ("item_id", "title") if name in table.frame.columns}
    names = {**taken, title: "title", item: "item_id"}
    return _with_numbers(validated_items(table.with_frame(table.frame.rename(names))))


def _with_numbers(items: pl.DataFrame) -> pl.DataFrame:
    """Metadata of text files whose values are all integers as numbers, as in Parquet: leak checks look at numbers."""
    texts = [name for name, kind in list(items.schema.items())[2:] if kind == pl.String]
    whole = [name for name in texts if items[name].str.contains(CANONICAL_INTEGER).all() and items[name].count()]
    return items.with_columns(pl.col(whole).cast(pl.Int64)) if whole else items


def _items_from_log(log: Table, *, item: str, title: str) -> tuple[pl.DataFrame, int]:
    """The items that the log itself names, and how many titles beside the first of an item there are."""
    if title not in log.frame.columns:
        raise DataError(
            f"{log.source} has no column {title!r}, and no items file is given. "
            "Pass --items with one row per item, or name the title's column with --title."
        )
    ids = id_column(log, item, "--item").alias("item_id")
    titles = title_column(log, title, "--title").alias("title")
    named = pl.DataFrame([ids, titles]).unique(maintain_order=True)
    items = named.unique("item_id", keep="first", maintain_order=True)
    return items, len(named) - len(items)
