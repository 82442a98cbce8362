"""Separated text as people write it, read in a stream, each row traceable to its line."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import polars as pl
from polars.exceptions import PolarsError

from llara.data.tables import first_line, separator_doubt
from llara.errors import ConfigError, DataError
from llara.ingest.archives import LONGEST_LINE, copying, inner_name, refuse_long_lines, scratch_folder, unpacked

_SEPARATOR_OF_SUFFIX = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".data": "\t", ".inter": "\t", ".item": "\t"}
_UNIT_SEPARATOR = "\x1f"  # in no text file that people write: a line is read as one field
_MARKS = {"utf-8": codecs.BOM_UTF8, "utf-16": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
_BLOCK = 1 << 20
_NUMBER = r"^\s*-?[0-9]+(\.[0-9]+)?\s*$"
MOST_COLUMNS = 10_000
"""A separated text of more columns is no table of a catalog or a log, and each column costs memory of its own."""
_SHOWN = 60
"""Characters of a line that a message repeats."""


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
class TextFile:
    """One separated text file, packed or not.

    Attributes:
        path: The file as the user named it.
        text: How it is written.
        separator: Between the fields.
    """

    path: Path
    text: TextFormat
    separator: str

    @staticmethod
    def of(path: Path, text: TextFormat) -> "TextFile":
        """The file with its separator, given or told by its suffix.

        Raises:
            ConfigError: If the suffix tells none.
        """
        name = inner_name(path)
        suffix = Path(name).suffix
        separator = text.separator if text.separator is not None else _SEPARATOR_OF_SUFFIX.get(suffix.lower())
        if not separator:
            raise ConfigError(
                f"cannot tell the separator of {name} from its suffix {suffix!r}. "
                "Pass --separator (',', '\\t', '|', '::')."
            )
        return TextFile(path, text, separator)

    def read(self, columns: Sequence[str] | None) -> tuple[pl.DataFrame, list[str]]:
        """The rows that are not blank, all columns as texts, and the names of all columns of the file.

        Args:
            columns: Which to keep, where the file has them; None: all.

        Raises:
            DataError: If the file cannot be parsed; the message names the line where it is known.
        """
        with unpacked(self.path) as plain:
            refuse_long_lines(plain, self.path.name)
            try:
                with self._as_utf8(plain) as source:
                    return self._parse(source, columns)
            except PolarsError as error:
                raise DataError(
                    self._complaint(plain)
                    or f"{self.path.name} cannot be read as text separated by {self.separator!r} "
                    f"({first_line(error)}). Check --separator, or try --no-quotes."
                ) from error

    def locate(self, row: int) -> str:
        """Find the line by reading the file once more; only needed for a message."""
        with unpacked(self.path) as plain, plain.open(encoding=self._encoding, errors="replace", newline="") as file:
            filled = (number for number, fields in self._records(file) if any(fields))
            if self.text.header:
                next(filled)
            for at, number in enumerate(filled):
                if at == row:
                    return f"{self.path.name} line {number}"
        return f"{self.path.name} row {row + 1}"  # odd quotes: the two readers count the records differently

    def _parse(self, source: Path, columns: Sequence[str] | None) -> tuple[pl.DataFrame, list[str]]:
        self._refuse_many_columns(source)
        self._refuse_repeated_names(source)
        lazy = self._fields(source) if self._is_one_byte else self._split_lines(source)
        names = lazy.collect_schema().names()
        kept = names if columns is None else [name for name in names if name in columns]
        if self._is_one_byte:
            self._refuse_doubtful_records(source, lazy, len(names))
        filled = lazy.filter(~pl.all_horizontal(pl.all().fill_null("") == "")).select(kept)
        return _collected(filled), names

    def _refuse_many_columns(self, source: Path) -> None:
        """A look at the first line before anything is planned for each of its columns."""
        with source.open("rb") as file:
            line = next((line for line in file if line.strip()), b"")
        outside = re.sub(rb'"[^"]*"', b"", line) if self.text.quotes and self._is_one_byte else line
        width = outside.count(self.separator.encode()) + 1
        if width > MOST_COLUMNS:
            doubt = separator_doubt([line[:_BLOCK].decode(errors="replace")] if b"\r" in line.rstrip() else [])
            raise DataError(
                f"{self.path.name}: the first line has {width:,} columns; at most {MOST_COLUMNS:,} are read. "
                f"{doubt or 'Is the separator right? '}Otherwise cut out the columns that are needed."
            )

    def _refuse_repeated_names(self, source: Path) -> None:
        """Two columns of one name: the parser would rename the second, and nobody knows which one is meant."""
        if not self.text.header:
            return
        with source.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            line, names = next((record for record in self._records(file) if any(record[1])), (1, []))
        repeated = next((name for name, count in Counter(names).items() if count > 1), None)
        if repeated is not None:
            raise DataError(
                f"{self.path.name} line {line}: two columns are called {repeated!r}. Rename one of them, or remove it."
            )

    @property
    def _is_one_byte(self) -> bool:
        """Whether the parser can take the separator."""
        return len(self.separator.encode()) == 1

    def _refuse_doubtful_records(self, source: Path, lazy: pl.LazyFrame, width: int) -> None:
        """Refuse short records and quotes that enclose whole rows: the parser takes both without a word."""
        has_quotes = self.text.quotes and _contains(source, b'"')
        has_break = pl.any_horizontal(pl.all().str.contains("\n", literal=True)).any() if has_quotes else pl.lit(False)
        checks = lazy.select(pl.last().is_null().any().alias("is_short"), has_break.alias("has_break"))
        is_short, is_broken = _collected(checks).row(0)
        if is_broken:
            self._refuse_swallowed_rows(source, lazy)
        if is_short:
            self._refuse_short_records(source, width)

    def _refuse_swallowed_rows(self, source: Path, lazy: pl.LazyFrame) -> None:
        swallowed = _swallowed_row(lazy, self.separator)
        if swallowed is None:
            return
        with source.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            records = _with_first_lines(self._records(file))
            holding = (line for line, fields in records if any(f"\n{swallowed}" in field for field in fields))
            place = next((f" line {line}: the record that begins here" for line in holding), ": a record")
        shown = swallowed if len(swallowed) <= _SHOWN else swallowed[:_SHOWN] + "..."
        raise DataError(
            f"{self.path.name}{place} holds the line {shown!r} inside a quoted field, and that looks like a row of its "
            "own. Is a quote never closed? If quotes mean nothing in this file, pass --no-quotes; if the line break "
            "belongs to the text, write a space instead."
        )

    def _refuse_short_records(self, source: Path, width: int) -> None:
        """Name the first record with fewer fields than columns, which the parser would fill up with nothing."""
        with source.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for number, fields in self._records(file):
                if any(fields) and len(fields) < width:
                    raise DataError(
                        f"{self.path.name} line {number}: expected {width} fields separated by {self.separator!r}, "
                        f"found {len(fields)}. Is the download complete?"
                    )

    def _fields(self, source: Path) -> pl.LazyFrame:
        lazy = pl.scan_csv(
            source,
            separator=self.separator,
            quote_char='"' if self.text.quotes else None,
            has_header=self.text.header,
            infer_schema=False,
            glob=False,
        )
        if self.text.header:
            return lazy
        return lazy.rename({name: str(place + 1) for place, name in enumerate(lazy.collect_schema().names())})

    def _split_lines(self, source: Path) -> pl.LazyFrame:
        """Split each line at a separator that is longer than the one byte which the parser takes."""
        table = pl.read_csv(source, separator=_UNIT_SEPARATOR, quote_char=None, has_header=False, infer_schema=False)
        line = pl.first().str.strip_chars_end("\r")
        parts = table.select(pl.when(line != "").then(line).str.split(self.separator)).to_series()
        del table
        filled = parts.is_not_null().arg_true()
        if not len(filled):
            raise DataError(f"{self.path.name} has no rows. Is the download complete?")
        start = int(filled[0])
        width = len(parts[start])
        wrong = (parts.list.len() != width).arg_true()
        if len(wrong):
            raise DataError(
                f"{self.path.name} line {wrong[0] + 1}: expected {width} {self.separator!r}-separated fields, "
                f"found {len(parts[wrong[0]])}. Is the download complete?"
            )
        names = list(parts[start]) if self.text.header else [str(place + 1) for place in range(width)]
        rows = parts.slice(start + 1 if self.text.header else start).alias("parts").to_frame().lazy()
        fields = rows.select(
            pl.col("parts").list.get(place, null_on_oob=True).alias(name) for place, name in enumerate(names)
        )
        return fields.with_columns(pl.when(pl.all() != "").then(pl.all()))

    @property
    def _encoding(self) -> str:
        """The encoding by Python's own name, where Python knows it."""
        try:
            name = codecs.lookup(self.text.encoding).name
        except LookupError:
            return self.text.encoding
        return "utf-8-sig" if name == "utf-8" else name

    def _records(self, file: TextIO, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Line number, from 1, and fields of each record; `strict` raises csv.Error at a quote that means nothing."""
        if not self._is_one_byte:
            return ((number, line.rstrip("\r\n").split(self.separator)) for number, line in enumerate(file, start=1))
        csv.field_size_limit(LONGEST_LINE)
        reader = csv.reader(
            file,
            delimiter=self.separator,
            quoting=csv.QUOTE_MINIMAL if self.text.quotes else csv.QUOTE_NONE,
            strict=strict,
        )
        return ((reader.line_num, fields) for fields in reader)

    @contextmanager
    def _as_utf8(self, plain: Path) -> Iterator[Path]:
        """The content in the one encoding that the parser reads; a copy is removed when the block ends."""
        self._refuse_other_marks(plain)
        if self._encoding == "utf-8-sig":
            yield plain
            return
        with scratch_folder() as folder:
            copy = folder / plain.name
            try:
                with (
                    copying(self.path),
                    plain.open(encoding=self._encoding, newline="") as source,
                    copy.open("w", encoding="utf-8", newline="") as target,
                ):
                    while block := source.read(_BLOCK):
                        target.write(block)
            except UnicodeError as error:
                raise DataError(
                    self._undecodable(plain)
                    or f"{self.path.name} is not {self.text.encoding} ({error}). Try another --encoding."
                ) from error
            except LookupError as error:
                raise ConfigError(
                    f"unknown encoding {self.text.encoding!r}. Common ones are utf-8 and latin-1."
                ) from error
            yield copy

    def _refuse_other_marks(self, plain: Path) -> None:
        """Refuse a file that begins with the mark of another encoding than the one that it is said to have."""
        with plain.open("rb") as file:
            start = file.read(3)
        found = next((name for name, mark in _MARKS.items() if start.startswith(mark)), None)
        if found is None or self._encoding.startswith((found[:6], "utf-32")):
            return
        remedy = "Leave out --encoding" if found == "utf-8" else "Pass --encoding utf-16"
        raise DataError(f"{self.path.name} is {found[:6].upper()}, not {self.text.encoding}. {remedy}.")

    def _undecodable(self, plain: Path) -> str | None:
        """The first line that is not in the encoding."""
        with plain.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(self._encoding)
                except UnicodeDecodeError as error:
                    if self._encoding.startswith(("utf-16", "utf-32")):
                        return None  # such text has no lines of bytes
                    return (
                        f"{self.path.name} line {number}: byte 0x{error.object[error.start]:02x} is not "
                        f"{self.text.encoding}. If the file is Latin-1, pass --encoding latin-1."
                    )
        return None

    def _complaint(self, plain: Path) -> str | None:
        """Why the parser gave up, with the line, found by a slower reader."""
        undecodable = self._undecodable(plain)
        if undecodable is not None:
            return undecodable
        with plain.open(encoding=self._encoding, newline="") as file:
            return self._wrong_record(file)

    def _wrong_record(self, file: TextIO) -> str | None:
        """What is wrong with the first record that is malformed, or, if there is none, what else may be."""
        name, width, last, doubtful = self.path.name, 0, 0, None
        records = self._records(file, strict=True)
        while True:
            try:
                number, fields = next(records)
            except StopIteration:
                return doubtful if width else f"{name} has no rows. Is the download complete?"
            except csv.Error as error:
                reason = (
                    "its last quote is never closed" if "end of data" in str(error) else "a quote is inside a field"
                )
                return f"{name} line {last + 1}: the record that begins here is malformed: {reason}. Try --no-quotes."
            width = width or len(fields)
            if len(fields) > width:
                return (
                    f"{name} line {number}: expected {width} fields separated by {self.separator!r}, "
                    f"found {len(fields)}. Is a separator or a quote inside a field? Try --separator or --no-quotes."
                )
            if doubtful is None and any(field.count('"') % 2 for field in fields):
                doubtful = f"{name} line {last + 1}: a quote is inside a field. Try --no-quotes."
            last = number


def _collected(lazy: pl.LazyFrame) -> pl.DataFrame:
    """The rows, read in a stream whose cost grows with the file, whatever its number of columns.

    polars 2.1 moves a filter into the parser, and plans there for each column what each other column needs: 2 rows of
    2,000 columns took 6.3 GB. A filter behind the parser is as fast and takes what the rows take.
    """
    return lazy.collect(engine="streaming", optimizations=pl.QueryOptFlags(predicate_pushdown=False))


def _with_first_lines(records: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Records with the line where each begins, from those with the line where each ends."""
    last = 0
    for number, fields in records:
        yield last + 1, fields
        last = number


def _contains(path: Path, byte: bytes) -> bool:
    with path.open("rb") as file:
        return any(byte in block for block in iter(lambda: file.read(_BLOCK), b""))


def _swallowed_row(lazy: pl.LazyFrame, separator: str) -> str | None:
    """The first line inside a field that looks like a row: as many fields, and numbers where others have numbers.

    Args:
        lazy: All rows and columns of the file.
        separator: Between the fields.
    """
    names = lazy.collect_schema().names()
    is_broken = pl.any_horizontal(pl.all().str.contains("\n", literal=True)).fill_null(value=False)
    whole = lazy.filter(~is_broken).select(pl.all().str.contains(_NUMBER).all() & (pl.all().count() > 0))
    numeric = _collected(whole).row(0)
    broken = _collected(lazy.filter(is_broken))
    for place, name in enumerate(names):
        texts = broken[name]
        after_break = texts.filter(texts.str.contains("\n", literal=True)).str.split("\n").list.slice(1)
        inner = after_break.to_frame().select(pl.first().list.slice(0, pl.first().list.len() - 1)).to_series()
        whole_lines = inner.filter(inner.list.len() > 0).explode()
        # The last line goes on after the field's end: so far it must have the row's fields up to this one.
        for lines, fields in ((whole_lines, numeric), (after_break.list.last(), numeric[: place + 1])):
            found = _first_row_like(lines, separator, fields)
            if found is not None:
                return found
    return None


def _first_row_like(lines: pl.Series, separator: str, numeric: Sequence[bool]) -> str | None:
    """The first of the lines with a field for each column, which is a number where the column holds only numbers."""
    if len(numeric) == 1 and not numeric[0]:
        return None  # any line is one text
    lines = lines.str.strip_chars_end("\r").alias("line")
    parts = pl.DataFrame([lines, lines.str.split(separator).alias("parts")])
    fields = [pl.col("parts").list.get(place, null_on_oob=True) for place in range(len(numeric))]
    alike = [
        (field.str.contains(_NUMBER) | (field == "")) if is_number else ~field.str.starts_with(" ")
        for field, is_number in zip(fields, numeric, strict=True)
    ]
    rows = parts.filter(pl.col("parts").list.len() == len(numeric)).filter(fields[0] != "", *alike)
    return None if rows.is_empty() else str(rows["line"][0])
