"""Goodreads: what readers put on their public shelves, by genre (UCSD Book Graph)."""

import glob
from pathlib import Path

import polars as pl

from llara.data.columns import id_column, one_line
from llara.data.tables import Table
from llara.errors import DataError
from llara.ingest.readers import read_table
from llara.ingest.sources.categories import chosen_category
from llara.ingest.sources.published import having, interactions_of, leaving_out, where_filled
from llara.ingest.sources.source import RawFiles, ReadOptions, RemoteFile, Source, titled_items
from llara.ingest.writing import RawLog

_LOG = "goodreads_interactions_*.json"
_BOOKS = "goodreads_books_*.json"
_DATE = "%b %d %H:%M:%S %z %Y"
_YEAR = r"^(1[0-9]{3}|20[0-9]{2})$"
_TEXT = pl.String()
_AUTHORS = pl.List(pl.Struct({"author_id": _TEXT, "role": _TEXT}))


def read_goodreads(files: RawFiles, options: ReadOptions) -> RawLog:
    """`goodreads_interactions_*.json.gz` and `goodreads_books_*.json.gz` of one genre, and two files for all genres.

    `goodreads_book_genres_initial.json.gz` and `goodreads_book_authors.json.gz` give books their genres and their
    authors' names; without the files there are no such columns.

    Every book on a shelf is an interaction, read or not, at the time when it was put there. Rating 0 is the publisher's
    "not rated", and kept: a minimum rating leaves it out. Average ratings, counts of ratings, shelves and similar books
    are not taken: they sum up what all readers did. So does the list of genres, of which only the names are kept.
    Interactions without a date, or with one before 1970, long before there was such a shelf, are left out.

    Raises:
        DataError: If a file is missing or a line is malformed; the message names the line.
    """
    category = glob.escape(chosen_category(files, options.name, logs=(_LOG,), items=_BOOKS))
    log_path, books_path = (files.find(name.replace("*", category)) for name in (_LOG, _BOOKS))
    types: dict[str, pl.DataType] = dict.fromkeys(("user_id", "book_id", "rating", "date_added"), _TEXT)
    dated, undated = where_filled(read_table(log_path, json_types=types), "date_added")
    log, early = _since_1970(dated)
    items, dropped = titled_items(_read_books(books_path))
    items, described_by = _described(items, files)
    return RawLog(
        interactions=interactions_of(log, user="user_id", item="book_id", time="date_added", rating="rating"),
        items=items,
        origin={
            "interactions": log_path.name,
            "items": books_path.name,
            **described_by,
            "timestamps": "seconds, of date_added",
            "rating_0": "not rated",
            "dropped_items": dropped,
            "dropped_interactions_without_date": undated,
            "dropped_interactions_before_1970": early,
        },
        drop_unknown_items=True,
        used_items_only=True,
    )


def _since_1970(dated: Table) -> tuple[Table, int]:
    """Interactions with `date_added` as a time, but for those before 1970, and how many those are."""
    texts = dated.frame["date_added"]
    # The day of the week says nothing that the rest does not.
    times = texts.str.slice(4).str.to_datetime(_DATE, strict=False, time_unit="ms", time_zone="UTC")
    wrong = times.is_null().arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{dated.locate(row)}: date_added {texts[row]!r} is not a time like 'Fri Apr 19 08:15:15 -0700 2013' "
            f"({len(wrong):,} such rows). Is the file damaged?"
        )
    return leaving_out(times.dt.epoch("s") < 0, dated.with_frame(dated.frame.with_columns(times)))


def _read_books(path: Path) -> pl.DataFrame:
    texts = ("book_id", "title", "publication_year", "publisher", "language_code")
    table = read_table(path, json_types={**dict.fromkeys(texts, _TEXT), "authors": _AUTHORS})
    having(table, "book_id", "title")
    publisher = one_line(table.frame["publisher"])
    language = table.frame["language_code"]
    return table.frame.select(
        id_column(table, "book_id", "--items-item").alias("item_id"),
        one_line(table.frame["title"]),
        pl.col("publication_year").str.extract(_YEAR).cast(pl.Int64).alias("year"),
        publisher.set(publisher == "", None),
        language.set(language == "", None).alias("language"),
        "authors",
    )


def _described(items: pl.DataFrame, files: RawFiles) -> tuple[pl.DataFrame, dict[str, str | None]]:
    """Books with genres and authors from the files for all genres, and the names of those that are there."""
    genres = files.find_optional("goodreads_book_genres_initial.json")
    authors = files.find_optional("goodreads_book_authors.json")
    if genres is not None:
        items = _with_genres(items, genres)
    items = items.drop("authors") if authors is None else _with_authors(items, authors)
    found = (("genres", genres), ("authors", authors))
    return items, {name: None if path is None else path.name for name, path in found}


def _with_genres(items: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Names of genres in the publisher's order, without how many readers chose them."""
    table = read_table(path, json_types={"book_id": _TEXT, "genres": _TEXT})
    ids = id_column(table, "book_id", "--items-item").cast(items["item_id"].dtype, strict=False)
    names = table.frame["genres"].str.extract_all(r'"[^"]+":').list.eval(pl.element().str.strip_chars('":'))
    genres = pl.DataFrame([ids.alias("item_id"), names]).unique("item_id", keep="first")
    return items.join(genres, on="item_id", how="left", maintain_order="left")


def _with_authors(items: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Names in place of identifiers; people in another role, such as illustrators, only where there is no author."""
    table = read_table(path, json_types={"author_id": _TEXT, "name": _TEXT})
    names = table.frame.select("author_id", one_line(table.frame["name"])).unique("author_id", keep="first")
    listed = items.select("item_id", "authors").explode("authors").unnest("authors")
    first = pl.col("role").fill_null("").str.strip_chars() == ""
    chosen = listed.filter(first | ~first.any().over("item_id"))
    authors = chosen.join(names, on="author_id", how="inner", maintain_order="left")
    grouped = authors.group_by("item_id", maintain_order=True).agg(pl.col("name").alias("authors"))
    return items.drop("authors").join(grouped, on="item_id", how="left", maintain_order="left")


_CHECKSUMS = (
    ("children", "sha256:d8ce59259e45262b3322bd87f5c2a13228cd8bb659332414a05660aed7cd7c71"),
    ("comics_graphic", "sha256:b55fbe66c2c802cefad5051808724d5074e342d6a4004309595a972702a62f4d"),
    ("fantasy_paranormal", "sha256:ec6a2444c13aa05b056988ac2671c5d643883c9aca0d8f9e46e413fc5773fa4b"),
    ("history_biography", "sha256:c08c7ebe477807556d4f92b75ba146916f2ae49e3ed269e3966fd9ca4ce517ca"),
    ("mystery_thriller_crime", "sha256:9c3c179ce5e5612cf72dc7aa2e570b49ab655b42a44cb8e9ddd5697393c43c4f"),
    ("poetry", "sha256:65fb9777f5e482695f0e4b71ef9884f6a7e5ab31c224dabc7ae0c2dcd60e49de"),
    ("romance", "sha256:3dde6e1dae8ebb7384f849e4378f5f294cbd6385abeac238aea2ce7e66e0faf0"),
    ("young_adult", "sha256:6d03182383f10e1eec36ac0a972533806518e2a082089867e3deb941ed77d6c4"),
)
_URL = "https://mcauleylab.ucsd.edu/public_datasets/gdrive/goodreads"

SOURCES = (
    Source(
        name="goodreads",
        title="Goodreads by genre: books on shelves, with times and ratings; title, year, publisher, genres, authors",
        noun="book",
        homepage="https://cseweb.ucsd.edu/~jmcauley/datasets/goodreads.html",
        license=(
            "No explicit license; for academic use only, no redistribution and no commercial use. Cite M. Wan and "
            "J. McAuley, Item Recommendation on Monotonic Behavior Chains (RecSys 2018)."
        ),
        files=(
            RemoteFile(url=f"{_URL}/byGenre/goodreads_interactions_{{category}}.json.gz", checksums=_CHECKSUMS),
            RemoteFile(url=f"{_URL}/byGenre/goodreads_books_{{category}}.json.gz"),
            RemoteFile(url=f"{_URL}/goodreads_book_genres_initial.json.gz"),
            RemoteFile(url=f"{_URL}/goodreads_book_authors.json.gz"),
        ),
        read=read_goodreads,
        categories=tuple(category for category, _ in _CHECKSUMS),
    ),
)
