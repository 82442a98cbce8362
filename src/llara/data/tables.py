"""Tables whose rows can be traced to where they were written, and Parquet files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from llara.data.sequences import IntArray
from llara.errors import DataError

FREE_BYTES = 64 * 2**20
"""What a packed file may always unpack to, whatever its own size."""
MOST_RATIO = 200
"""Unpacked bytes for each packed one, beyond `FREE_BYTES`. Logs and catalogs pack to a tenth, sparse tables to a
hundredth; gzip and zip can reach a thousandth, with content that is no data."""
_VALUE_BYTES = 8
_MOST_LISTED = 20
_LONGEST_LISTED = 80


@dataclass(frozen=True)
class Table:
    """A table together with the way back to the place a row came from.

    Attributes:
        frame: The rows. Columns of text files are all strings.
        source: Name of the file, for messages.
        locate: Row number, from 0, to a place such as "ratings.csv line 1042".
        names: All columns of the file, also those that were not read.
    """

    frame: pl.DataFrame
    source: str
    locate: Callable[[int], str]
    names: Sequence[str] = field(default=())

    def column(self, name: str, option: str) -> pl.Series:
        """The named column.

        Raises:
            DataError: If there is none; the message lists what there is and the option that says otherwise.
        """
        if name not in self.frame.columns:
            names = self.names or self.frame.columns
            raise DataError(
                f"{self.source} has no column {name!r}; found {listed(names)}. {separator_doubt(names)}"
                f"Name the right one with {option}."
            )
        return self.frame[name]

    def filter(self, keep: pl.Series) -> "Table":
        """The rows where `keep` is true, still traceable to their places."""
        kept = keep.arg_true()
        return Table(self.frame.filter(keep), self.source, lambda row: self.locate(kept[row]), self.names)

    def take(self, rows: IntArray) -> "Table":
        """The rows in another order, still traceable to their places."""
        return Table(self.frame[rows], self.source, lambda row: self.locate(int(rows[row])), self.names)

    def with_frame(self, frame: pl.DataFrame) -> "Table":
        """Other columns for the same rows."""
        return Table(frame, self.source, self.locate)


def listed(names: Sequence[str], *, most: int = _MOST_LISTED) -> str:
    """Names for a message, each quoted; of many, the first and how many more there are."""
    shown = ", ".join(repr(_cut(name)) for name in names[:most])
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (shown or "none") + rest


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_LISTED else text[: _LONGEST_LISTED - 3] + "..."


def separator_doubt(names: Sequence[str]) -> str:
    """What the names of columns say about how the file was read."""
    if any("\r" in name for name in names):
        return "Its lines end in carriage returns alone: convert it to common line ends. "
    separator = next((mark for mark in (";", "\t", "|", ",", "::") if len(names) == 1 and mark in names[0]), None)
    return f"If the separator is {separator!r}, pass --separator {separator!r}. " if separator else ""


def table_of(frame: pl.DataFrame, source: str) -> Table:
    """A table whose rows are counted from 1, as in a Parquet file."""
    return Table(frame, source, lambda row: f"{source} row {row + 1}")


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file; a missing or broken one is the user's error and named."""
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file. Check the path.")
    return scan_parquet(path, None)[0]


def scan_parquet(path: Path, columns: Sequence[str] | None) -> tuple[pl.DataFrame, list[str]]:
    """Some columns of a Parquet file where it has them (None: all), and the names of all its columns."""
    try:
        lazy = pl.scan_parquet(path, glob=False)
        names = lazy.collect_schema().names()
        kept = names if columns is None else [name for name in names if name in columns]
        _refuse_swollen(path, int(lazy.select(pl.len()).collect().item()), len(kept))
        return lazy.select(kept).collect(engine="streaming"), names
    except PolarsError as error:
        raise DataError(f"{path} is not a readable Parquet file ({first_line(error)}). Is it complete?") from error


def _refuse_swollen(path: Path, num_rows: int, num_columns: int) -> None:
    """Refuse a file that says in a few bytes that one value stands in billions of rows."""
    size = path.stat().st_size
    if num_rows * num_columns * _VALUE_BYTES > max(FREE_BYTES, MOST_RATIO * size):
        raise DataError(
            f"{path.name} holds {num_rows:,} rows of {num_columns} columns in {size:,} bytes, more than "
            f"{MOST_RATIO} times its size, so it is hardly a log or a catalog. If it is one, write it anew as CSV."
        )


def first_line(error: PolarsError) -> str:
    """The part of a parser's message that is about the file."""
    return str(error).strip().split("\n", maxsplit=1)[0]
