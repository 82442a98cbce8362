"""`import_rows`: training and evaluation rows that somebody released become a dataset folder.

How such a folder's rows are read again is `llara.data.released_rows`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from llara.data.columns import id_column, refuse_unknown, same_kind
from llara.data.files import refuse_taken
from llara.data.folder import INFO_FILE, DatasetInfo
from llara.data.identifiers import Id
from llara.data.released_rows import rebuild_interactions
from llara.data.tables import Table
from llara.errors import ConfigError, DataError
from llara.ingest.logs import items_from_file
from llara.ingest.readers import read_table
from llara.ingest.text_files import TextFormat
from llara.ingest.writing import RawRows, refuse_bad_split, write_rows

_SPLIT_NAMES = {
    "train": "train",
    "train_sample": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


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

    The interactions are rebuilt from the rows, and timestamps are positions. Where rows name no users, consecutive
    training rows in which each continues the one before are one user, and every other row is a user of its own.

    Args:
        rows: Parquet or JSON Lines with `split` (train or train_sample, val or validation, test), `seq` or `history`
            (list of item ids, oldest first), `next` or `target`, and optionally `user_id` and `len_seq`.
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
        are read with their true length, 0, where `padding` is given.
    """
    refuse_taken(output, force=force, marker=INFO_FILE)
    refuse_bad_split(split, has_times=False, has_rows=True)
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
    users = [id_column(table, "user_id", "the column name")] if "user_id" in table.frame.columns else []
    released = pl.DataFrame([_split_names(table, split_names or {}), *users, history, target.alias("target")])
    _refuse_unknown_items(table, released, catalog, padding)
    with_users, log = rebuild_interactions(released)
    return RawRows(
        rows=with_users.select("split", "user_id", "history", "target"),
        interactions=log,
        items=catalog,
        origin={
            **origin,
            "padding": padding,
            "timestamps": "positions",
            "users": "named" if users else "unknown, one for each sequence",
        },
    )


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
    lists = _ids_of(table, values, dtype).alias("history")
    recorded = table.frame["len_seq"].cast(pl.Int64) if "len_seq" in table.frame.columns else None
    if padding is None:
        return lists if recorded is None else _cut_to(table, lists, recorded)
    fill = pl.lit(padding).cast(dtype)
    unpadded = lists.list.eval(pl.element().filter(pl.element() != fill))
    if recorded is not None:
        _refuse_wrong_lengths(table, unpadded.list.len().cast(pl.Int64), recorded)
    return unpadded


def _ids_of(table: Table, values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Lists of identifiers of the targets' kind; a number that is not whole, or a missing item, is named."""
    elements = pl.DataFrame({"row": np.arange(len(values)), "id": values}).filter(pl.col("id").list.len() > 0)
    elements = elements.explode("id")
    places = elements["row"]
    flat = Table(elements, table.source, lambda at: f"{table.locate(places[at])} (history)")
    if len(elements):
        id_column(flat, "id", "the column name")
    return values.cast(pl.List(dtype)).fill_null([])


def _cut_to(table: Table, lists: pl.Series, recorded: pl.Series) -> pl.Series:
    """The items of each history that `len_seq` counts; what follows them fills it up."""
    wrong = ((recorded > lists.list.len().cast(pl.Int64)) | (recorded < 0)).fill_null(True).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{table.locate(row)}: len_seq says {recorded[row]} items, the history has {len(lists[row])}. Mend the row."
        )
    frame = pl.DataFrame([lists, recorded.alias("count")])
    return frame.select(pl.col("history").list.head("count")).to_series()


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
