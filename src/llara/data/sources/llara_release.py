"""The LLaRA release's own rows: pickled frames, read without running them, and the items' names."""

import polars as pl

from llara.data.importing import items_from_file
from llara.data.nouns import Noun
from llara.data.raw import RawRows
from llara.data.row_importing import raw_rows
from llara.data.sources.source import RawFiles, ReadOptions, RemoteFile, Source
from llara.data.sources.unpickling import read_pickled_frame
from llara.data.tables import Table, read_table, table_of
from llara.data.text_files import TextFormat

_LINES = TextFormat(header=False, separator="\x1f", quotes=False)
_PIPES = TextFormat(header=False, separator="|", encoding="latin-1", quotes=False)
_PARTS = {
    "train": ("train_data.df", "train_data.df*"),
    "validation": ("Val_data.df", "val_data.df"),
    "test": ("Test_data.df", "test_data.df"),
}


def _read_release(files: RawFiles, options: ReadOptions) -> RawRows:
    """Training, validation and test rows exactly as released, in their order.

    Short histories are filled up with the number of items as an identifier. MovieLens' entries are pairs of item and
    rating, of which the item is kept; its items are numbered from 0, one less than in `u.item`.
    """
    items = _items(files)
    padding = int(items["item_id"].cast(pl.Int64).max()) + 1  # type: ignore[arg-type]
    parts = []
    for part, patterns in _PARTS.items():
        frame = read_pickled_frame(files.find(*patterns))
        items_only = frame.with_columns(_items_of("seq", frame), _items_of("next", frame))
        parts.append(items_only.select(pl.lit(part).alias("split"), "seq", "next", "len_seq"))
    names = {part: len(frame) for part, frame in zip(_PARTS, parts, strict=True)}
    return raw_rows(
        table_of(pl.concat(parts), "the released rows"), items, padding=padding, origin={"released_rows": names}
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
        read=_read_release,
    )


SOURCES = (
    _source("movielens", "movie", "u.item"),
    _source("steam", "game", "id2name.txt"),
    _source("lastfm", "artist", "id2name.txt"),
)
