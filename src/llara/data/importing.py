"""Importing: a publisher's files become a dataset folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl
from polars.exceptions import PolarsError

from llara.data.columns import (
    CANONICAL_INTEGER,
    TimeUnit,
    id_column,
    number_column,
    refuse_unknown,
    same_kind,
    time_column,
    title_column,
)
from llara.data.files import refuse_taken
from llara.data.folder import INFO_FILE, DatasetInfo, validated_items
from llara.data.identifiers import Id
from llara.data.raw import RawLog, RawRows, refuse_bad_split, write_log, write_rows
from llara.data.rows import rebuild_interactions
from llara.data.shaping import ShapeConfig
from llara.data.tables import Table, read_table
from llara.data.text_files import TextFormat
from llara.errors import ConfigError, DataError

MissingItems = Literal["refuse", "drop", "cut"]

_SPLIT_NAMES = {
    "train": "train",
    "train_sample": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def import_log(
    interactions: Path,
    output: Path,
    *,
    items: Path | None = None,
    user: str = "user_id",
    item: str = "item_id",
    time: str | None = "timestamp",
    time_unit: TimeUnit | None = None,
    title: str = "title",
    rating: str | None = None,
    items_item: str | None = None,
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
        user: Column of the user's identifier.
        item: Column of the item's identifier.
        time: Column of the time: numbers or ISO dates. None: the order of the rows is the order in time.
        time_unit: What numbers in it count; "order": they are places in an order, no times. None: seconds; refused
            where they can hardly be seconds.
        title: Column of the title, in `items` where given.
        rating: Column of the rating. None: "rating" where there is such a column.
        items_item: Column of the identifier in `items`, if it is not called as in `interactions`.
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
        UnclearTimeUnitError: If times are probably no seconds and `time_unit` does not say.
        DataError: If a file or column is missing, or a row is malformed; the message names file and line.
        ConfigError: If options do not fit each other, or the output exists.
    """
    refuse_taken(output, force=force, marker=INFO_FILE)
    refuse_bad_split(split)
    wanted = [user, item, *([time] if time else []), rating or "rating", *([] if items else [title])]
    log = read_table(interactions, text, columns=wanted)
    rating = "rating" if rating is None and "rating" in log.frame.columns else rating
    if items is not None:
        catalog = items_from_file(read_table(items, items_text or text), item=items_item or item, title=title)
    else:
        catalog = _items_from_log(log, item=item, title=title)
    log, num_missing = _without_missing_items(log, missing_items, user=user, item=item, time=time, time_unit=time_unit)
    raw = RawLog(
        interactions=_typed(log, user=user, item=item, time=time, time_unit=time_unit, rating=rating),
        items=catalog,
        origin={
            "interactions": interactions.name,
            "items": None if items is None else items.name,
            "columns": {"user": user, "item": item, "time": time, "title": title, "rating": rating},
            "timestamps": "file order" if time is None else "positions" if time_unit == "order" else "seconds",
            "missing_items": missing_items,
            "dropped_rows_at_missing_items": num_missing,
        },
        drop_unknown_items=drop_unknown_items,
    )
    del log
    return write_log(raw, output, name=name, noun=noun, shape=shape or ShapeConfig(), split=split, force=force)


def import_rows(
    rows: Path,
    output: Path,
    *,
    items: Path,
    padding: Id | None = None,
    split_names: Mapping[str, str] | None = None,
    split: Mapping[str, object] | None = None,
    item: str = "item_id",
    title: str = "title",
    name: str | None = None,
    noun: str = "item",
    items_text: TextFormat | None = None,
    force: bool = False,
) -> DatasetInfo:
    """Make a dataset folder from released training and evaluation rows, kept as they are.

    The interactions are rebuilt from the rows: consecutive training rows in which each continues the one before are one
    user, every other row is a user of its own, and timestamps are positions.

    Args:
        rows: Parquet or JSON Lines with `split` (train or train_sample, val or validation, test), `seq` or `history`
            (list of item ids, oldest first), `next` or `target`, and optionally `len_seq`.
        output: The dataset folder to make.
        items: One row per item; further columns become metadata.
        padding: The identifier that fills up short histories. None: they are not filled up, or `len_seq` tells.
        split_names: What other names of splits stand for: train, validation or test.
        split: How the data set is meant to be split. None: by its rows.
        item: Column of the identifier in `items`.
        title: Column of the title in `items`.
        name: Name of the data set. None: the name of the output folder.
        noun: "movie", "game", "artist", "book" or "item".
        items_text: How `items` is written, if it is separated text.
        force: Replace an existing dataset folder.

    Raises:
        DataError: If a file or column is missing, or a row is malformed.
        ConfigError: If the output exists.

    Source:
        The LLaRA release's rows. Its first row of every user has an empty history, but records the length 1; such rows
        are read with their true length, 0.
    """
    refuse_taken(output, force=force, marker=INFO_FILE)
    refuse_bad_split(split)
    catalog = items_from_file(read_table(items, items_text), item=item, title=title)
    origin: dict[str, object] = {"rows": rows.name, "items": items.name, "split_names": dict(split_names or {})}
    try:
        raw = raw_rows(read_table(rows), catalog, padding=padding, split_names=split_names, origin=origin)
    except (PolarsError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise DataError(
            f"{rows} does not hold rows: {reason}. Expected histories as lists of item ids, and padding of their kind."
        ) from error
    return write_rows(raw, output, name=name, noun=noun, split=split, force=force)


def raw_rows(
    table: Table,
    catalog: pl.DataFrame,
    *,
    padding: Id | None,
    origin: dict[str, object],
    split_names: Mapping[str, str] | None = None,
) -> RawRows:
    """Rows and the log rebuilt from them, from a table as `import_rows` reads it.

    Raises:
        DataError: If a column is missing, or a row is malformed.
    """
    target = id_column(table, _first_present(table, ("target", "next")), "the column name")
    history = _history(table, padding, target.dtype)
    released = pl.DataFrame([_split_names(table, split_names or {}), history, target.alias("target")])
    _refuse_unknown_items(table, released, catalog, padding)
    with_users, log = rebuild_interactions(released)
    return RawRows(
        rows=with_users.select("split", "user_id", "history", "target"),
        interactions=log,
        items=catalog,
        origin={**origin, "padding": padding, "timestamps": "positions"},
    )


def _without_missing_items(
    log: Table, mode: MissingItems, *, user: str, item: str, time: str | None, time_unit: TimeUnit | None
) -> tuple[Table, int]:
    """The rows that stay, and how many do not."""
    missing = log.column(item, "--item").is_null()
    if mode == "refuse" or not missing.any():
        return log, 0
    if mode == "drop":
        return log.filter(~missing), int(missing.sum())
    frame = pl.DataFrame({"user": log.column(user, "--user"), "time": _times(log, time, time_unit), "missing": missing})
    in_time = frame.with_row_index("row").sort("time", maintain_order=True)
    is_past = pl.col("missing").cast(pl.Int8).cum_max().over("user") > 0
    past = in_time.filter(is_past)["row"]
    is_before = ~pl.int_range(len(frame), dtype=pl.UInt32, eager=True).is_in(past.implode())
    return log.filter(is_before), len(past)


def _times(log: Table, time: str | None, unit: TimeUnit | None) -> pl.Series:
    if time is None:
        return pl.int_range(len(log.frame), eager=True).alias("timestamp")
    return time_column(log, time, "--time (or say that there is none)", unit=unit)


def _typed(
    log: Table, *, user: str, item: str, time: str | None, time_unit: TimeUnit | None, rating: str | None
) -> Table:
    """The log's columns by the names and types of a dataset folder."""
    columns = [
        id_column(log, user, "--user").alias("user_id"),
        id_column(log, item, "--item").alias("item_id"),
        _times(log, time, time_unit),
    ]
    if rating is not None:
        columns.append(number_column(log, rating, "--rating").alias("rating"))
    return log.with_frame(pl.DataFrame(columns))


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
    texts = [name for name in items.columns[2:] if items.schema[name] == pl.String]
    whole = [name for name in texts if items[name].str.contains(CANONICAL_INTEGER).all() and items[name].count()]
    return items.with_columns(pl.col(whole).cast(pl.Int64)) if whole else items


def _items_from_log(log: Table, *, item: str, title: str) -> pl.DataFrame:
    """The items that the log itself names; the first title of each counts."""
    if title not in log.frame.columns:
        raise DataError(
            f"{log.source} has no column {title!r}, and no items file is given. "
            "Pass --items with one row per item, or name the title's column with --title."
        )
    ids = id_column(log, item, "--item").alias("item_id")
    titles = title_column(log, title, "--title").alias("title")
    return pl.DataFrame([ids, titles]).unique("item_id", keep="first", maintain_order=True)


def _first_present(table: Table, names: tuple[str, ...]) -> str:
    for name in names:
        if name in table.frame.columns:
            return name
    raise DataError(
        f"{table.source} has none of the columns {', '.join(names)}; found {', '.join(table.frame.columns)}."
    )


def _split_names(table: Table, more: Mapping[str, str]) -> pl.Series:
    for name, part in more.items():
        if part not in _SPLIT_NAMES.values():
            raise ConfigError(f"--split-as {name}={part}: expected train, validation or test.")
    known = {**_SPLIT_NAMES, **more}
    split = table.column("split", "the column name").cast(pl.String)
    names = split.replace_strict(known, default=None, return_dtype=pl.String)
    wrong = names.is_null().arg_true()
    if len(wrong):
        raise DataError(
            f"{table.locate(wrong[0])}: split {split[wrong[0]]!r} is none of {', '.join(known)}. "
            f"Say what it is with --split-as {split[wrong[0]]}=train, =validation or =test."
        )
    return names.alias("split")


def _history(table: Table, padding: Id | None, dtype: pl.DataType) -> pl.Series:
    """Histories without padding, as lists of identifiers."""
    values = table.column(_first_present(table, ("history", "seq")), "the column name")
    if values.dtype != pl.List:
        raise DataError(f"{table.source}: column {values.name!r} is {values.dtype}, expected a list of item ids.")
    lists = values.cast(pl.List(dtype)).fill_null([])
    recorded = table.frame["len_seq"] if "len_seq" in table.frame.columns else None
    if padding is None:
        if recorded is None:
            return lists.alias("history")
        return (
            pl.DataFrame([lists.alias("history"), recorded]).select(pl.col("history").list.head("len_seq")).to_series()
        )
    fill = pl.lit(padding).cast(dtype)
    unpadded = lists.alias("history").list.eval(pl.element().filter(pl.element() != fill))
    if recorded is not None:
        _refuse_wrong_lengths(table, unpadded.list.len().cast(pl.Int64), recorded.cast(pl.Int64))
    return unpadded


def _refuse_wrong_lengths(table: Table, lengths: pl.Series, recorded: pl.Series) -> None:
    quirk = (lengths == 0) & (recorded == 1)
    wrong = ((lengths != recorded) & ~quirk).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{table.locate(row)}: len_seq says {recorded[row]} items, the history has {lengths[row]} beside the "
            "padding. Is --padding the right identifier?"
        )


def _refuse_unknown_items(table: Table, released: pl.DataFrame, catalog: pl.DataFrame, padding: Id | None) -> None:
    known = catalog["item_id"]
    target, known_targets = same_kind(released["target"], known)
    refuse_unknown(table, target, known_targets, "the items file")
    seen = released.with_row_index("row").filter(pl.col("history").list.len() > 0).explode("history")
    items, known_items = same_kind(seen["history"], known)
    unknown = (~items.is_in(known_items.implode()).fill_null(value=False)).arg_true()
    if len(unknown):
        remedy = "If it fills up short histories, pass it as --padding." if padding is None else "Is --padding right?"
        raise DataError(
            f"{table.locate(seen['row'][unknown[0]])}: history item {items[unknown[0]]!r} is not in the items file. "
            f"{remedy}"
        )
