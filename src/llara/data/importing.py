"""Importing: a publisher's files become a dataset folder."""

from pathlib import Path

import polars as pl

from llara.data.columns import (
    id_column,
    number_column,
    refuse_unknown,
    same_kind,
    time_column,
    title_column,
)
from llara.data.folder import DatasetInfo, validated_items, write_dataset
from llara.data.identifiers import Id
from llara.data.rows import rebuild_interactions
from llara.data.tables import Table, TextFormat, read_table
from llara.errors import ConfigError, DataError

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
    title: str = "title",
    rating: str | None = None,
    items_item: str | None = None,
    min_rating: float | None = None,
    drop_unknown_items: bool = False,
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
        time: Column of the time: seconds or ISO dates. None: the order of the rows is the order in time.
        title: Column of the title, in `items` where given.
        rating: Column of the rating. None: "rating" where there is such a column.
        items_item: Column of the identifier in `items`, if it is not called as in `interactions`.
        min_rating: Keep only interactions rated at least this.
        drop_unknown_items: Leave out interactions with items that `items` does not list, instead of refusing them.
        name: Name of the data set. None: the name of the output folder.
        noun: "movie", "game", "artist", "book" or "item".
        text: How separated text is written.
        items_text: The same for `items`, if it differs.
        force: Replace an existing dataset folder.

    Raises:
        DataError: If a file or column is missing, or a row is malformed; the message names file and line.
        ConfigError: If options do not fit each other, or the output exists.
    """
    log = read_table(interactions, text)
    rating = "rating" if rating is None and "rating" in log.frame.columns else rating
    log = _rated(log, rating, min_rating)
    if items is not None:
        catalog = _items_from_file(read_table(items, items_text or text), item=items_item or item, title=title)
    else:
        catalog = _items_from_log(log, item=item, title=title)
    log, item_ids, num_dropped = _known_items(log, catalog, item=item, drop=drop_unknown_items)
    columns = [id_column(log, user, "--user").alias("user_id"), item_ids, _times(log, time)]
    if rating is not None:
        columns.append(number_column(log, rating, "--rating").alias("rating"))
    origin: dict[str, object] = {
        "interactions": interactions.name,
        "items": None if items is None else items.name,
        "columns": {"user": user, "item": item, "time": time, "title": title, "rating": rating},
        "min_rating": min_rating,
        "dropped_unknown_items": num_dropped,
        "timestamps": "file order" if time is None else "seconds",
    }
    return write_dataset(
        output,
        interactions=pl.DataFrame(columns),
        items=catalog,
        name=name or output.name,
        noun=noun,
        origin=origin,
        force=force,
    )


def import_rows(
    rows: Path,
    output: Path,
    *,
    items: Path,
    padding: Id | None = None,
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
    table = read_table(rows)
    catalog = _items_from_file(read_table(items, items_text), item=item, title=title)
    target = id_column(table, _first_present(table, ("target", "next")), "the column name")
    history = _history(table, padding, target.dtype)
    released = pl.DataFrame([_split_names(table), history, target.alias("target")])
    _refuse_unknown_items(table, released, catalog, padding)
    with_users, log = rebuild_interactions(released)
    origin: dict[str, object] = {
        "rows": rows.name,
        "items": items.name,
        "padding": padding,
        "timestamps": "positions",
    }
    return write_dataset(
        output,
        interactions=log,
        items=catalog,
        rows=with_users.select("split", "user_id", "history", "target"),
        name=name or output.name,
        noun=noun,
        origin=origin,
        force=force,
    )


def _rated(log: Table, rating: str | None, min_rating: float | None) -> Table:
    if min_rating is None:
        return log
    if rating is None:
        raise ConfigError("--min-rating needs a rating column; name it with --rating.")
    kept = log.filter(number_column(log, rating, "--rating") >= min_rating)
    if len(kept.frame) == 0:
        raise DataError(f"{log.source}: no interaction is rated at least {min_rating}. Lower --min-rating.")
    return kept


def _known_items(log: Table, catalog: pl.DataFrame, *, item: str, drop: bool) -> tuple[Table, pl.Series, int]:
    """Interactions with items of the catalog, these items, and how many interactions were left out."""
    item_ids, known = same_kind(id_column(log, item, "--item").alias("item_id"), catalog["item_id"])
    if not drop:
        refuse_unknown(log, item_ids, known, "the items", remedy="Add them there, or pass --drop-unknown-items.")
        return log, item_ids, 0
    is_known = item_ids.is_in(known.implode())
    return log.filter(is_known), item_ids.filter(is_known), int((~is_known).sum())


def _times(log: Table, time: str | None) -> pl.Series:
    if time is None:
        return pl.Series("timestamp", range(len(log.frame)), dtype=pl.Int64)
    return time_column(log, time, "--time (or say that there is none)")


def _items_from_file(table: Table, *, item: str, title: str) -> pl.DataFrame:
    """Items as a dataset folder has them; columns whose names are taken become "source_..."."""
    table.column(item, "--items-item"), table.column(title, "--title")
    taken: dict[str, str] = {name: f"source_{name}" for name in ("item_id", "title") if name in table.frame.columns}
    names = {**taken, title: "title", item: "item_id"}
    return validated_items(Table(table.frame.rename(names), table.source, table.locate))


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


def _split_names(table: Table) -> pl.Series:
    split = table.column("split", "the column name").cast(pl.String)
    names = split.replace_strict(_SPLIT_NAMES, default=None, return_dtype=pl.String)
    wrong = names.is_null().arg_true()
    if len(wrong):
        raise DataError(
            f"{table.locate(wrong[0])}: split {split[wrong[0]]!r} is none of {', '.join(_SPLIT_NAMES)}. Rename it."
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
    unknown = (~items.is_in(known_items.implode())).arg_true()
    if len(unknown):
        remedy = "If it fills up short histories, pass it as --padding." if padding is None else "Is --padding right?"
        raise DataError(
            f"{table.locate(seen['row'][unknown[0]])}: history item {items[unknown[0]]!r} is not in the items file. "
            f"{remedy}"
        )
