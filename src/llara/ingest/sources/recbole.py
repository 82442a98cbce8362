"""RecBole's atomic files: `NAME.inter` and `NAME.item`, tab-separated, with the type behind each column's name."""

import glob
from pathlib import Path

from llara.data.tables import Table
from llara.data.times import UnclearTimeUnitError
from llara.errors import DataError
from llara.ingest.logs import items_from_file
from llara.ingest.readers import read_table
from llara.ingest.sources.categories import chosen_category
from llara.ingest.sources.published import having, interactions_of
from llara.ingest.sources.source import RawFiles, ReadOptions, RemoteFile, Source, titled_items
from llara.ingest.text_files import TextFormat
from llara.ingest.writing import RawLog

_TABS = TextFormat(separator="\t", quotes=False)
_TITLES = ("title", "movie_title", "name", "item_name", "artist_name", "book_title", "app_name", "business_name")


def _read_atomic(files: RawFiles, options: ReadOptions) -> RawLog:
    """Any data set in this form; its items file must have a column that names the items.

    Times are seconds, unless the numbers can hardly be seconds: some data sets have milliseconds.
    """
    stem = glob.escape(chosen_category(files, options.name, logs=("*.inter",), items="*.item"))
    path = files.find(f"{stem}.inter")
    items = having(_untyped(read_table(files.find(f"{stem}.item"), _TABS)), "item_id")
    title = _title(items)
    named, dropped = titled_items(items.frame.rename({title: "title"} if title != "title" else {}))
    log, timestamps = _interactions(_untyped(read_table(path, _TABS)))
    return RawLog(
        interactions=log,
        items=items_from_file(items.with_frame(named), item="item_id", title="title"),
        origin={"timestamps": timestamps, "dropped_item_rows": dropped, "file": Path(path).name},
        drop_unknown_items=True,
    )


def _interactions(log: Table) -> tuple[Table, str]:
    """Interactions with their times in seconds, and what the file counts them in."""
    names = {"user": "user_id", "item": "item_id", "time": "timestamp"}
    rating = "rating" if "rating" in log.frame.columns else None
    try:
        return interactions_of(log, **names, rating=rating, unit=None), "seconds"
    except UnclearTimeUnitError as unclear:
        return interactions_of(log, **names, rating=rating, unit=unclear.unit), f"seconds, from {unclear.unit}"


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
