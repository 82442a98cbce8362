"""Tables as their publishers wrote them: CSV, TSV, other separated text, JSON Lines, Parquet, each row traceable."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import polars as pl
from polars.exceptions import PolarsError

from llara.errors import ConfigError, DataError

_SEPARATOR_OF_SUFFIX = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".data": "\t", ".inter": "\t", ".item": "\t"}
_JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
_UNIT_SEPARATOR = "\x1f"  # in no text file that people write: a line is read as one field


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How a separated text file is written. Parquet and JSON Lines need none of it."""

    separator: str | None = None
    """Between the fields: one character or more ("::"). None: as the suffix says, comma for .csv, tab for .tsv, .tab,
    .data, .inter, .item."""
    encoding: str = "utf-8"
    """Any encoding that Python knows: "utf-8", "latin-1", "cp1252"."""
    header: bool = True
    """Whether the first line names the columns. Without one they are named "1", "2", "3"."""
    quotes: bool = True
    """Whether a double quote at a field's start encloses it. Never so with a separator of several characters."""


@dataclass(frozen=True)
class Table:
    """A table together with the way back to the place a row came from.

    Attributes:
        frame: The rows. Columns of text files are all strings.
        source: Name of the file, for messages.
        locate: Row number, from 0, to a place such as "ratings.csv line 1042".
    """

    frame: pl.DataFrame
    source: str
    locate: Callable[[int], str]

    def column(self, name: str, option: str) -> pl.Series:
        """The named column.

        Raises:
            DataError: If there is none; the message lists what there is and the option that says otherwise.
        """
        if name not in self.frame.columns:
            found = ", ".join(repr(column) for column in self.frame.columns)
            raise DataError(f"{self.source} has no column {name!r}; found {found}. Name the right one with {option}.")
        return self.frame[name]

    def filter(self, keep: pl.Series) -> "Table":
        """The rows where `keep` is true, still traceable to their places."""
        kept = keep.arg_true()
        return Table(self.frame.filter(keep), self.source, lambda row: self.locate(kept[row]))


def table_of(frame: pl.DataFrame, source: str) -> Table:
    """A table whose rows are counted from 1, as in a Parquet file."""
    return Table(frame, source, lambda row: f"{source} row {row + 1}")


def read_table(path: Path, text: TextFormat | None = None) -> Table:
    """Read a Parquet, JSON Lines or separated text file.

    Args:
        path: The file; its suffix says which of them it is.
        text: How a separated text file is written.

    Raises:
        DataError: If the file is missing, empty, or cannot be parsed; the message names the line where it is known.
        ConfigError: If the separator cannot be told from the suffix.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file. Check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Is the download complete?")
    if path.suffix.lower() == ".parquet":
        return table_of(read_parquet(path), path.name)
    if path.suffix.lower() in _JSON_SUFFIXES:
        return _read_json_lines(path)
    return _read_text(path, text or TextFormat())


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file; a missing or broken one is the user's error and named."""
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file. Check the path.")
    try:
        return pl.read_parquet(path, glob=False)
    except PolarsError as error:
        raise DataError(f"{path} is not a readable Parquet file ({_first_line(error)}). Is it complete?") from error


def _read_json_lines(path: Path) -> Table:
    try:
        frame = pl.read_ndjson(path, infer_schema_length=None)
    except PolarsError as error:
        raise DataError(_json_complaint(path) or f"{path}: {_first_line(error)}") from error

    def locate(row: int) -> str:
        with path.open("rb") as file:
            numbers = (number for number, line in enumerate(file, start=1) if line.strip())
            return f"{path.name} line {next(number for at, number in enumerate(numbers) if at == row)}"

    return Table(frame, path.name, locate)


def _json_complaint(path: Path) -> str | None:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                return f"{path.name} line {number}: expected one JSON object per line ({error}). Is the file complete?"
            if not isinstance(value, dict):
                return f"{path.name} line {number}: expected a JSON object, found {type(value).__name__}."
    return None


def _read_text(path: Path, text: TextFormat) -> Table:
    separator = text.separator if text.separator is not None else _SEPARATOR_OF_SUFFIX.get(path.suffix.lower())
    if not separator:
        raise ConfigError(
            f"cannot tell the separator of {path.name} from its suffix {path.suffix!r}. "
            "Pass --separator (',', '\\t', '|', '::')."
        )
    lines = _TextFile(path, text, separator)
    frame = lines.read_fields() if len(separator) == 1 else lines.read_split_lines()
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    return Table(frame.filter(~blank), path.name, lines.locate)


@dataclass(frozen=True)
class _TextFile:
    path: Path
    text: TextFormat
    separator: str

    def read_fields(self) -> pl.DataFrame:
        return self._named(self._read(self.separator, '"' if self.text.quotes else None, header=self.text.header))

    def read_split_lines(self) -> pl.DataFrame:
        """Split each line at a separator that is longer than the one byte which the parser takes."""
        lines = self._read(_UNIT_SEPARATOR, None, header=False).to_series(0).str.strip_chars_end("\r")
        parts = lines.str.split(self.separator)
        width = len(parts[0]) if parts[0] is not None else 0
        wrong = ((parts.list.len() != width) & (lines != "")).arg_true()
        if len(wrong):
            raise DataError(
                f"{self.path.name} line {wrong[0] + 1}: expected {width} {self.separator!r}-separated fields, "
                f"found {len(parts[wrong[0]])}. Is the download complete?"
            )
        names = list(parts[0]) if self.text.header else [str(column + 1) for column in range(width)]
        rows = parts.slice(1) if self.text.header else parts
        frame = pl.DataFrame([rows.list.get(column, null_on_oob=True).alias(name) for column, name in enumerate(names)])
        return frame.with_columns(pl.when(pl.all() != "").then(pl.all()))

    def locate(self, row: int) -> str:
        """Find the line by reading the file once more; only needed for a message."""
        with self.path.open(encoding=self._encoding, errors="replace", newline="") as file:
            records = self._records(file)
            if self.text.header:
                next(records)
            for at, number in enumerate(number for number, fields in records if any(fields)):
                if at == row:
                    return f"{self.path.name} line {number}"
        raise AssertionError(f"{self.path.name} has no row {row}")

    @property
    def _encoding(self) -> str:
        return "utf-8-sig" if self.text.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else self.text.encoding

    def _records(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Line number, from 1, and fields of each record."""
        if len(self.separator) > 1:
            return ((number, line.rstrip("\r\n").split(self.separator)) for number, line in enumerate(file, start=1))
        reader = csv.reader(
            file, delimiter=self.separator, quoting=csv.QUOTE_MINIMAL if self.text.quotes else csv.QUOTE_NONE
        )
        return ((reader.line_num, fields) for fields in reader)

    def _read(self, separator: str, quote: str | None, *, header: bool) -> pl.DataFrame:
        source: Path | io.BytesIO = self.path
        if self._encoding != "utf-8-sig":
            source = io.BytesIO(self._decoded().encode())
        try:
            return pl.read_csv(source, separator=separator, quote_char=quote, has_header=header, infer_schema=False)
        except PolarsError as error:
            raise DataError(self._complaint() or f"{self.path}: {_first_line(error)}") from error

    def _decoded(self) -> str:
        try:
            return self.path.read_bytes().decode(self._encoding)
        except UnicodeDecodeError as error:
            raise DataError(self._undecodable(error)) from error
        except LookupError as error:
            raise ConfigError(f"unknown encoding {self.text.encoding!r}. Common ones are utf-8 and latin-1.") from error

    def _undecodable(self, error: UnicodeDecodeError) -> str:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        return (
            f"{self.path.name} line {line}: byte 0x{error.object[error.start]:02x} is not {self.text.encoding}. "
            "If the file is Latin-1, pass --encoding latin-1."
        )

    def _complaint(self) -> str | None:
        """Why the parser gave up, with the line, found by a slower reader."""
        with self.path.open("rb") as file:
            data = file.read()
        try:
            content = data.decode(self._encoding)
        except UnicodeDecodeError as error:
            return self._undecodable(error)
        width = None
        for number, fields in self._records(io.StringIO(content, newline="")):
            width = len(fields) if width is None else width
            if len(fields) > width:
                return (
                    f"{self.path.name} line {number}: expected {width} fields separated by {self.separator!r}, "
                    f"found {len(fields)}. Is a separator or a quote inside a field? Try --separator or --no-quotes."
                )
        return None

    def _named(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self.text.header:
            return frame
        return frame.rename({name: str(column + 1) for column, name in enumerate(frame.columns)})


def _first_line(error: PolarsError) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
