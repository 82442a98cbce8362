"""Goodreads by genre, as published: gzip, JSON Lines."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from llara.data import load_dataset
from llara.errors import DataError
from llara.ingest import ShapeConfig
from llara.ingest.sources import goodreads
from llara.ingest.sources.reading import import_source

(GOODREADS,) = goodreads.SOURCES

Row = dict[str, object]


def shelved(user: str, book: str, rating: int, date: str) -> Row:
    return {
        "user_id": user,
        "book_id": book,
        "review_id": "fbd6a22a155c87a84fba7537f06cc94b",
        "is_read": rating > 0,
        "rating": rating,
        "review_text_incomplete": "",
        "date_added": date,
        "date_updated": date,
        "read_at": "",
        "started_at": "",
    }


INTERACTIONS = (
    shelved("80d52f5e", "402128", 4, "Fri Apr 19 08:15:15 -0700 2013"),
    shelved("80d52f5e", "22466716", 0, "Sat Jan 01 00:00:00 +0000 2000"),
    shelved("0d688fe0", "402128", 5, "Sun Feb 29 23:59:59 -0800 2004"),
    shelved("0d688fe0", "402128", 5, ""),
    shelved("0d688fe0", "1", 5, "Sun Feb 29 23:59:59 -0800 2004"),
)
BOOKS: tuple[Row, ...] = (
    {
        "isbn": "0151686564",
        "text_reviews_count": "523",
        "series": [],
        "country_code": "US",
        "language_code": "eng",
        "popular_shelves": [{"count": "1950", "name": "to-read"}],
        "average_rating": "4.08",
        "similar_books": ["1", "2"],
        "description": 'Cats "title": "Dogs"',
        "authors": [{"author_id": "18540", "role": ""}, {"author_id": "21578", "role": "Illustrator"}],
        "publisher": "Harcourt Brace & Company",
        "publication_year": "1982",
        "book_id": "402128",
        "ratings_count": "15716",
        "title": "Old Possum's  Book of Practical Cats ",
        "title_without_series": "Old Possum's Book of Practical Cats",
    },
    {
        "language_code": "",
        "authors": [{"author_id": "7", "role": "Editor"}, {"author_id": "404", "role": "Editor"}],
        "publisher": "",
        "publication_year": "20009",
        "book_id": "22466716",
        "title": "Love Poems (Verses, #1)",
    },
    {"authors": [], "publication_year": "", "book_id": "3", "title": "Never on a shelf"},
    {"authors": [], "publication_year": "", "book_id": "1", "title": ""},
)
GENRES: tuple[Row, ...] = (
    {"book_id": "402128", "genres": {"poetry": 1450, "history, historical fiction, biography": 3}},
    {"book_id": "22466716", "genres": {}},
    {"book_id": "999", "genres": {"poetry": 1}},
)
AUTHORS: tuple[Row, ...] = (
    {"average_rating": "4.1", "author_id": "18540", "text_reviews_count": "1", "name": "T.S.  Eliot"},
    {"author_id": "21578", "name": "Edward Gorey"},
    {"author_id": "7", "name": "Harriet Monroe"},
)


def put(folder: Path, name: str, rows: tuple[Row, ...]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = put(tmp_path / "goodreads", "goodreads_interactions_poetry.json.gz", INTERACTIONS)
    return put(folder, "goodreads_books_poetry.json.gz", BOOKS)


def test_books_on_shelves_become_interactions_when_they_were_put_there(folder: Path, tmp_path: Path) -> None:
    info = import_source(GOODREADS, folder, tmp_path / "x")
    assert (info.num_users, info.num_items, info.num_interactions, info.noun) == (2, 2, 3, "book")
    assert pl.read_parquet(tmp_path / "x" / "interactions.parquet").rows() == [
        ("80d52f5e", 402128, 1366384515, 4.0),
        ("80d52f5e", 22466716, 946684800, 0.0),
        ("0d688fe0", 402128, 1078127999, 5.0),
    ]
    assert (info.origin["dropped_interactions_without_date"], info.origin["dropped_unknown_items"]) == (1, 1)
    assert (info.origin["dropped_items"], info.origin["rating_0"]) == (1, "not rated")
    assert load_dataset(tmp_path / "x").log.num_users == 2


def test_dates_before_there_were_computers_are_left_out_and_counted(folder: Path, tmp_path: Path) -> None:
    early = (
        shelved("80d52f5e", "22466716", 3, "Wed Dec 31 15:59:59 -0800 1969"),
        shelved("80d52f5e", "402128", 3, "Mon Jan 01 00:00:00 +0000 1900"),
    )
    put(folder, "goodreads_interactions_poetry.json.gz", (*INTERACTIONS, *early))
    info = import_source(GOODREADS, folder, tmp_path / "x")
    assert (info.num_interactions, info.origin["dropped_interactions_before_1970"]) == (3, 2)
    assert info.origin["dropped_interactions_without_date"] == 1


@pytest.mark.parametrize(("name", "field"), [("interactions", "date_added"), ("books", "title")])
def test_files_whose_lines_lack_a_field_are_told(folder: Path, tmp_path: Path, name: str, field: str) -> None:
    rows = INTERACTIONS if name == "interactions" else BOOKS
    others = tuple({key: value for key, value in row.items() if key != field} for row in rows)
    put(folder, f"goodreads_{name}_poetry.json.gz", others)
    with pytest.raises(DataError, match=rf"{name}_poetry.json.gz: '{field}' is missing or empty in all"):
        import_source(GOODREADS, folder, tmp_path / "x")


def test_a_minimum_rating_leaves_out_what_is_not_rated(folder: Path, tmp_path: Path) -> None:
    info = import_source(GOODREADS, folder, tmp_path / "x", shape=ShapeConfig(min_rating=1))
    assert (info.num_interactions, info.num_items) == (2, 1)


def test_books_without_the_files_for_all_genres(folder: Path, tmp_path: Path) -> None:
    info = import_source(GOODREADS, folder, tmp_path / "x")
    items = pl.read_parquet(tmp_path / "x" / "items.parquet")
    assert items.columns == ["item_id", "title", "year", "publisher", "language"]
    assert items.rows() == [
        (402128, "Old Possum's Book of Practical Cats", 1982, "Harcourt Brace & Company", "eng"),
        (22466716, "Love Poems (Verses, #1)", None, None, None),
    ]
    assert (info.origin["genres"], info.origin["authors"]) == (None, None)


def test_genres_and_authors_get_their_names_from_files_for_all_genres(folder: Path, tmp_path: Path) -> None:
    put(folder, "goodreads_book_genres_initial.json.gz", GENRES)
    put(folder, "goodreads_book_authors.json.gz", AUTHORS)
    info = import_source(GOODREADS, folder, tmp_path / "x")
    items = pl.read_parquet(tmp_path / "x" / "items.parquet")
    assert items.select("item_id", "genres", "authors").rows() == [
        (402128, ["poetry", "history, historical fiction, biography"], ["T.S. Eliot"]),
        (22466716, [], ["Harriet Monroe"]),
    ]
    assert info.origin["genres"] == "goodreads_book_genres_initial.json.gz"


def test_one_genre_of_several_must_be_named(folder: Path, tmp_path: Path) -> None:
    put(folder, "goodreads_interactions_young_adult.json.gz", INTERACTIONS)
    put(folder, "goodreads_books_young_adult.json.gz", BOOKS)
    with pytest.raises(DataError, match=r"several categories: poetry, young_adult\. Name one with --category"):
        import_source(GOODREADS, folder, tmp_path / "x")
    info = import_source(GOODREADS, folder, tmp_path / "x", category="young_adult")
    assert info.origin["interactions"] == "goodreads_interactions_young_adult.json.gz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"date_added": "2013-04-19"}, "line 2: date_added '2013-04-19' is not a time like 'Fri Apr 19"),
        ({"rating": "high"}, "line 2: rating 'high' is not a number"),
        ({"user_id": ""}, "line 2: user_id is missing"),
        ({"book_id": None}, "line 2: book_id is missing"),
    ],
)
def test_a_broken_line_is_named(folder: Path, tmp_path: Path, change: Row, message: str) -> None:
    put(folder, "goodreads_interactions_poetry.json.gz", (INTERACTIONS[0], {**INTERACTIONS[1], **change}))
    with pytest.raises(DataError, match=rf"goodreads_interactions_poetry\.json\.gz {message}"):
        import_source(GOODREADS, folder, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_every_genre_has_a_checksum() -> None:
    checksums = dict(GOODREADS.files[0].checksums)
    assert set(checksums) == set(GOODREADS.categories)
    assert len(set(checksums.values())) == 8
    assert all(len(checksum) == len("sha256:") + 64 for checksum in checksums.values())
