"""The LLaRA release's own rows: pickled frames, read without running them, and the items' names."""

from functools import partial

import polars as pl

from llara.data.nouns import Noun
from llara.data.tables import Table, table_of
from llara.errors import DataError
from llara.ingest.logs import items_from_file
from llara.ingest.readers import read_table
from llara.ingest.released import raw_rows
from llara.ingest.sources.published import having
from llara.ingest.sources.source import RawFiles, ReadOptions, RemoteFile, Source
from llara.ingest.sources.unpickling import read_pickled_frame
from llara.ingest.text_files import TextFormat
from llara.ingest.writing import RawRows

_LINES = TextFormat(header=False, separator="\x1f", quotes=False)
_PIPES = TextFormat(header=False, separator="|", encoding="latin-1", quotes=False)
_PARTS = {
    "train": ("train_data.df", "train_data.df*"),
    "validation": ("Val_data.df", "val_data.df"),
    "test": ("Test_data.df", "test_data.df"),
}
_NUM_ITEMS = {"movielens": 1_682, "steam": 3_581, "lastfm": 4_606}
"""The files are called alike; how many items they list tells the three data sets apart."""


def _read_release(files: RawFiles, options: ReadOptions, *, name: str) -> RawRows:
    """Training, validation and test rows exactly as released, in their order.

    Short histories are filled up with the number of items as an identifier. MovieLens' entries are pairs of item and
    rating, of which the item is kept; its items are numbered from 0, one less than in `u.item`.

    Raises:
        DataError: If a file is missing or malformed, or the items are those of another data set.
    """
    items = _items(files)
    _refuse_other_items(items, name, files)
    padding = len(items)
    parts = []
    for part, patterns in _PARTS.items():
        path = files.find(*patterns)
        frame = having(table_of(read_pickled_frame(path), path.name), "seq", "next", "len_seq").frame
        items_only = frame.with_columns(_items_of("seq", frame), _items_of("next", frame))
        parts.append(items_only.select(pl.lit(part).alias("split"), "seq", "next", "len_seq"))
    names = {part: len(frame) for part, frame in zip(_PARTS, parts, strict=True)}
    return raw_rows(
        table_of(pl.concat(parts), "the released rows"), items, padding=padding, origin={"released_rows": names}
    )


def _refuse_other_items(items: pl.DataFrame, name: str, files: RawFiles) -> None:
    expected = _NUM_ITEMS[name]
    if items["item_id"].sort().to_list() == list(range(expected)):
        return
    other = next((other for other, count in _NUM_ITEMS.items() if count == len(items)), None)
    raise DataError(
        f"{files.path} lists {len(items):,} items, but source 'llara-{name}' has {expected:,}, numbered from 0. "
        + (f"Are these the files of 'llara-{other}'?" if other not in (None, name) else "Are the files unchanged?")
    )


def _items_of(column: str, frame: pl.DataFrame) -> pl.Series:
    values = frame[column]
    nested = pl.List(pl.List) if column == "seq" else pl.List
    if values.dtype != nested:
        return values
    return values.list.eval(pl.element().list.first()) if column == "seq" else values.list.first()


def _items(files: RawFiles) -> pl.DataFrame:
    """From `id2name.txt`, or, for MovieLens, `u.item`."""
    names = files.find_optional("id2name.txt")
    if names is not None:
        table = read_table(names, _LINES)
        parts = pl.col("1").str.splitn("::", 2)  # a game's title may hold "::" itself
        frame = table.frame.select(parts.struct.field("field_0").alias("1"), parts.struct.field("field_1").alias("2"))
        return items_from_file(_renamed(table.with_frame(frame), pl.col("1")), item="item_id", title="title")
    table = read_table(files.find("u.item"), _PIPES)
    number = (pl.col("1").cast(pl.Int64) - 1).cast(pl.String)
    return items_from_file(_renamed(table, number), item="item_id", title="title")


def _renamed(table: Table, item_id: pl.Expr) -> Table:
    return table.with_frame(table.frame.select(item_id.alias("item_id"), pl.col("2").alias("title")))


def _source(name: str, noun: Noun, items_file: str) -> Source:
    base = f"https://huggingface.co/datasets/joyliao7777/LLaRA/resolve/main/{name}"
    return Source(
        name=f"llara-{name}",
        title=f"The rows that the LLaRA release ships for {name}",
        noun=noun,
        homepage="https://huggingface.co/datasets/joyliao7777/LLaRA",
        license=(
            "No license is stated; those of the data set that the rows were made from hold (MovieLens and Last.fm: "
            "non-commercial research). Cite Liao et al., LLaRA (SIGIR 2024)."
        ),
        files=tuple(
            RemoteFile(url=f"{base}/{file}") for file in ("train_data.df", "Val_data.df", "Test_data.df", items_file)
        ),
        read=partial(_read_release, name=name),
        gives="rows",
    )


SOURCES = (
    _source("movielens", "movie", "u.item"),
    _source("steam", "game", "id2name.txt"),
    _source("lastfm", "artist", "id2name.txt"),
)
