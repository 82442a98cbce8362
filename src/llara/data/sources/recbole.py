"""RecBole's atomic files: `NAME.inter` and `NAME.item`, tab-separated, with the type behind each column's name."""

from pathlib import Path

import polars as pl

from llara.data.columns import id_column, number_column
from llara.data.importing import items_from_file
from llara.data.raw import RawLog
from llara.data.sources.source import RawFiles, ReadOptions, RemoteFile, Source, titled_items
from llara.data.tables import Table, read_table
from llara.data.text_files import TextFormat
from llara.data.times import time_column
from llara.errors import DataError

_TABS = TextFormat(separator="\t", quotes=False)
_TITLES = ("title", "movie_title", "name", "item_name", "artist_name", "book_title", "app_name", "business_name")


def _read_atomic(files: RawFiles, options: ReadOptions) -> RawLog:
    """Any data set in this form; its items file must have a column that names the items."""
    path = files.find(f"{options.name}.inter" if options.name else "*.inter")
    stem = path.name.split(".inter", maxsplit=1)[0]
    items = _untyped(read_table(files.find(f"{stem}.item"), _TABS))
    title = _title(items)
    named, dropped = titled_items(items.frame.rename({title: "title"} if title != "title" else {}))
    log = _untyped(read_table(path, _TABS))
    columns = [
        id_column(log, "user_id", "--user"),
        id_column(log, "item_id", "--item"),
        time_column(log, "timestamp", "--time", unit=None),
    ]
    if "rating" in log.frame.columns:
        columns.append(number_column(log, "rating", "--rating"))
    return RawLog(
        interactions=log.with_frame(pl.DataFrame(columns)),
        items=items_from_file(items.with_frame(named), item="item_id", title="title"),
        origin={"timestamps": "seconds", "dropped_item_rows": dropped, "file": Path(path).name},
        drop_unknown_items=True,
    )


def _untyped(table: Table) -> Table:
    """Columns by their names alone: "user_id:token" is "user_id"."""
    names = [name.rsplit(":", maxsplit=1)[0] for name in table.frame.columns]
    return table.with_frame(table.frame.rename(dict(zip(table.frame.columns, names, strict=True))))


def _title(items: Table) -> str:
    for name in _TITLES:
        if name in items.frame.columns:
            return name
    raise DataError(
        f"{items.source}: none of the columns {', '.join(items.frame.columns)} is a known name for titles "
        f"({', '.join(_TITLES)}). Import it as a tab-separated file with --title."
    )


SOURCES = (
    Source(
        name="recbole",
        title="Any data set in RecBole's atomic files (NAME.inter, NAME.item); fetch gets its processed MovieLens",
        noun="item",
        homepage="https://recbole.io/dataset_list.html",
        license="Those of the data set's publisher; RecBole (RUCAIBox) repackages them. MovieLens: research use only.",
        files=(
            RemoteFile(
                url="https://recbole.s3-accelerate.amazonaws.com/ProcessedDatasets/MovieLens/{category}.zip",
            ),
        ),
        read=_read_atomic,
        categories=("ml-100k", "ml-1m", "ml-10m", "ml-20m"),
    ),
)
