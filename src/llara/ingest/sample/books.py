"""The catalog of the sample: facts about real books, and which book resembles which by those facts."""

from importlib.resources import files

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llara.errors import DataError

FloatArray = NDArray[np.float64]

SUBJECTS = (
    "adventure",
    "biography",
    "children",
    "detective",
    "drama",
    "fairy tales",
    "fantasy",
    "gothic",
    "historical novel",
    "history",
    "humor",
    "nature",
    "philosophy",
    "poetry",
    "politics",
    "religion",
    "romance",
    "satire",
    "science fiction",
    "sea stories",
    "short stories",
    "social novel",
    "travel",
    "war",
    "western",
)

_COLUMNS = ("item_id", "title", "author", "year", "subjects")


def load_books() -> pl.DataFrame:
    """Read the bundled catalog.

    Returns:
        `item_id`, `title`, `author`, `year` (of the first publication, negative before our era) and `subjects` (one to
        four of `SUBJECTS`, separated by `|`), one row per book, sorted by author and year.
    """
    with files("llara.ingest.sample").joinpath("books.csv").open("rb") as file:
        return pl.read_csv(file.read(), schema_overrides={"year": pl.Int64})


def subject_matrix(books: pl.DataFrame) -> FloatArray:
    """Which book has which subject: 1 or 0, shape [books, len(SUBJECTS)].

    Raises:
        DataError: If a column is missing, or a book has a subject that is not in `SUBJECTS`.
    """
    missing = [column for column in _COLUMNS if column not in books.columns]
    if missing:
        raise DataError(
            f"books: column {missing[0]!r} is missing; expected {', '.join(_COLUMNS)}, "
            f"found {', '.join(books.columns)}."
        )
    column_of = {subject: column for column, subject in enumerate(SUBJECTS)}
    matrix = np.zeros((len(books), len(SUBJECTS)))
    for row, subjects in enumerate(books["subjects"]):
        for subject in subjects.split("|"):
            if subject not in column_of:
                raise DataError(
                    f"books row {row + 1}: unknown subject {subject!r}; "
                    f"use one of {', '.join(SUBJECTS)}, separated by '|'."
                )
            matrix[row, column_of[subject]] = 1.0
    return matrix


def resemblance(books: pl.DataFrame) -> FloatArray:
    """How alike two books look to someone who reads only the catalog, shape [books, books], in [0, 1].

    Half of it is the overlap of the subjects (Jaccard), 0.3 a common author, 0.2 nearness in time (halved every 30
    years).
    """
    subjects = subject_matrix(books)
    common = subjects @ subjects.T
    count = subjects.sum(axis=1)
    overlap = common / (count[:, None] + count[None, :] - common)
    author = books["author"].to_numpy()
    year = books["year"].to_numpy()
    nearness = 0.5 ** (np.abs(year[:, None] - year[None, :]) / 30.0)
    alike = 0.5 * overlap + 0.3 * (author[:, None] == author[None, :]) + 0.2 * nearness
    return np.asarray(alike, dtype=np.float64)


def sequel_of(books: pl.DataFrame) -> NDArray[np.int64]:
    """The row of the book that continues each book, or -1, shape [books].

    That is the author's next book in time with the same first subject. Series are not marked in the catalog; this rule
    follows Oz, Tarzan, Barsoom or Holmes in order.
    """
    ordered = (
        books.with_row_index("row")
        .with_columns(pl.col("subjects").str.split("|").list.first().alias("first"))
        .sort("author", "first", "year", "row")
        .with_columns(pl.col("row").shift(-1).over("author", "first").alias("sequel"))
        .sort("row")
    )
    return ordered["sequel"].cast(pl.Int64).fill_null(-1).to_numpy()
