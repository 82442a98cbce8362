"""MovieLens: 100K, 1M, latest-small, 20M, 25M and 32M, from GroupLens' own files."""

import polars as pl

from llara.data.tables import Table
from llara.ingest.logs import items_from_file
from llara.ingest.readers import read_table
from llara.ingest.sources.published import having, interactions_of
from llara.ingest.sources.source import RawFiles, Reader, ReadOptions, RemoteFile, Source
from llara.ingest.text_files import TextFormat
from llara.ingest.writing import RawLog

_YEAR = r"^(.*\S)\s*\((\d{4})\)\s*$"
_LICENSE = (
    "GroupLens, University of Minnesota: for research; no redistribution and no commercial use without permission; "
    "acknowledge F. M. Harper and J. A. Konstan, The MovieLens Datasets (2015), in publications."
)
_HOMEPAGE = "https://grouplens.org/datasets/movielens/"
_TABS = TextFormat(header=False, separator="\t")
_PIPES = TextFormat(header=False, separator="|", encoding="latin-1", quotes=False)
_COLONS = TextFormat(header=False, separator="::", encoding="latin-1")


def _read_100k(files: RawFiles, options: ReadOptions) -> RawLog:
    """`u.data` and `u.item`, whose last 19 columns are flags, one per genre of `u.genre`."""
    table = read_table(files.find("u.item"), _PIPES)
    genre_table = read_table(files.find("u.genre"), _PIPES)
    having(genre_table, "1", "2")
    having(table, "1", "2", str(5 + len(genre_table.frame)))
    genres = genre_table.frame.sort(pl.col("2").cast(pl.Int64))["1"].to_list()
    flags = [
        pl.when(pl.col(str(6 + place)) == "1").then(pl.lit(genre))
        for place, genre in enumerate(genres)
        if genre != "unknown"
    ]
    joined = pl.concat_list(flags).list.drop_nulls().list.join("|")
    frame = table.frame.select(
        pl.col("1").alias("item_id"), pl.col("2").alias("title"), joined.replace("", None).alias("genres")
    )
    log = read_table(files.find("u.data"), _TABS)
    return _raw(log, table.with_frame(frame), ("1", "2", "3", "4"))


def _read_1m(files: RawFiles, options: ReadOptions) -> RawLog:
    """`ratings.dat` and `movies.dat`, separated by "::"."""
    table = having(read_table(files.find("movies.dat"), _COLONS), "1", "2", "3")
    frame = table.frame.rename({"1": "item_id", "2": "title", "3": "genres"})
    log = read_table(files.find("ratings.dat"), _COLONS)
    return _raw(log, table.with_frame(frame), ("1", "2", "3", "4"))


def _read_csv(files: RawFiles, options: ReadOptions) -> RawLog:
    """`ratings.csv` and `movies.csv`."""
    names = ("userId", "movieId", "rating", "timestamp")
    table = having(read_table(files.find("movies.csv")), "movieId", "title", "genres")
    genres = pl.col("genres").replace("(no genres listed)", None)
    frame = table.frame.rename({"movieId": "item_id"}).with_columns(genres)
    return _raw(read_table(files.find("ratings.csv"), columns=names), table.with_frame(frame), names)


def _raw(log: Table, items: Table, names: tuple[str, str, str, str]) -> RawLog:
    """The title without the year that the publisher writes behind it, which becomes metadata."""
    user, item, rating, time = names
    title = pl.col("title").str.strip_chars()
    parts = title.str.extract_groups(_YEAR)
    frame = items.frame.with_columns(
        pl.coalesce(parts.struct.field("1"), title).alias("title"),
        parts.struct.field("2").cast(pl.Int64).alias("year"),
    )
    ordered = frame.select("item_id", "title", "year", "genres")
    return RawLog(
        interactions=interactions_of(log, user=user, item=item, time=time, rating=rating),
        items=items_from_file(items.with_frame(ordered), item="item_id", title="title"),
        origin={"timestamps": "seconds"},
    )


def _source(size: str, file: str, read: Reader, *, checksum: str | None = None) -> Source:
    url = f"https://files.grouplens.org/datasets/movielens/{file}.zip"
    return Source(
        name=f"movielens-{size}",
        title=f"MovieLens {size}: ratings of movies with times; title, year, genres",
        noun="movie",
        homepage=_HOMEPAGE,
        license=_LICENSE,
        files=(RemoteFile(url=url, checksum=checksum, checksum_url=None if checksum else f"{url}.md5"),),
        read=read,
    )


SOURCES = (
    _source("100k", "ml-100k", _read_100k, checksum="md5:0e33842e24a9c977be4e0107933c0723"),
    _source("1m", "ml-1m", _read_1m, checksum="md5:c4d9eecfca2ab87c1945afe126590906"),
    _source("latest-small", "ml-latest-small", _read_csv),
    _source("20m", "ml-20m", _read_csv, checksum="md5:cd245b17a1ae2cc31bb14903e1204af3"),
    _source("25m", "ml-25m", _read_csv, checksum="md5:6b51fb2759a8657d3bfcbfc42b592ada"),
    _source("32m", "ml-32m", _read_csv, checksum="md5:d472be332d4daa821edc399621853b57"),
)
