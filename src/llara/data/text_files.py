"""Separated text as people write it, read in a stream, each row traceable to its line."""

import codecs
import csv
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import polars as pl
from polars.exceptions import PolarsError

from llara.data.archives import LONGEST_LINE, inner_name, refuse_long_lines, unpacked
from llara.errors import ConfigError, DataError

_SEPARATOR_OF_SUFFIX = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".data": "\t", ".inter": "\t", ".item": "\t"}
_UNIT_SEPARATOR = "\x1f"  # in no text file that people write: a line is read as one field
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLOCK = 1 << 20


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
                raise DataError(self._complaint(plain) or f"{self.path}: {first_line(error)}") from error

    def locate(self, row: int) -> str:
        """Find the line by reading the file once more; only needed for a message."""
        with unpacked(self.path) as plain, plain.open(encoding=self._encoding, errors="replace", newline="") as file:
            records = self._records(file)
            if self.text.header:
                next(records)
            for at, number in enumerate(number for number, fields in records if any(fields)):
                if at == row:
                    return f"{self.path.name} line {number}"
        raise AssertionError(f"{self.path.name} has no row {row}")

    def _parse(self, source: Path, columns: Sequence[str] | None) -> tuple[pl.DataFrame, list[str]]:
        lazy = self._fields(source) if self._is_one_byte else self._split_lines(source)
        names = lazy.collect_schema().names()
        self._refuse_repeated_names(source)
        kept = names if columns is None else [name for name in names if name in columns]
        if self._is_one_byte and lazy.select(pl.last().is_null().any()).collect(engine="streaming").item():
            self._refuse_short_records(source, len(names))
        filled = lazy.filter(~pl.all_horizontal(pl.all().is_null())).select(kept)
        return filled.collect(engine="streaming"), names

    def _refuse_repeated_names(self, source: Path) -> None:
        """Two columns of one name: the parser would rename the second, and nobody knows which one is meant."""
        if not self.text.header:
            return
        with source.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            _, names = next(self._records(file), (1, []))
        repeated = [name for place, name in enumerate(names) if name in names[:place]]
        if repeated:
            raise DataError(
                f"{self.path.name} line 1: two columns are called {repeated[0]!r}. Rename one of them, or remove it."
            )

    @property
    def _is_one_byte(self) -> bool:
        """Whether the parser can take the separator."""
        return len(self.separator.encode()) == 1

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
        lines = pl.read_csv(source, separator=_UNIT_SEPARATOR, quote_char=None, has_header=False, infer_schema=False)
        parts = lines.to_series(0).str.strip_chars_end("\r").str.split(self.separator)
        del lines
        width = len(parts[0]) if parts[0] is not None else 0
        wrong = ((parts.list.len() != width) & (parts.list.len() > 1)).arg_true()
        if len(wrong):
            raise DataError(
                f"{self.path.name} line {wrong[0] + 1}: expected {width} {self.separator!r}-separated fields, "
                f"found {len(parts[wrong[0]])}. Is the download complete?"
            )
        names = list(parts[0]) if self.text.header else [str(place + 1) for place in range(width)]
        rows = (parts.slice(1) if self.text.header else parts).alias("parts").to_frame().lazy()
        fields = rows.select(
            pl.col("parts").list.get(place, null_on_oob=True).alias(name) for place, name in enumerate(names)
        )
        return fields.with_columns(pl.when(pl.all() != "").then(pl.all()))

    @property
    def _encoding(self) -> str:
        return "utf-8-sig" if self.text.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else self.text.encoding

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
        if self._encoding == "utf-8-sig":
            self._refuse_utf16(plain)
            yield plain
            return
        with tempfile.TemporaryDirectory(prefix="llara-") as folder:
            copy = Path(folder) / plain.name
            try:
                with (
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

    def _refuse_utf16(self, plain: Path) -> None:
        with plain.open("rb") as file:
            if file.read(2) in _UTF16_MARKS:
                raise DataError(f"{self.path.name} is UTF-16, not {self.text.encoding}. Pass --encoding utf-16.")

    def _undecodable(self, plain: Path) -> str | None:
        """The first line that is not in the encoding."""
        with plain.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(self._encoding)
                except UnicodeDecodeError as error:
                    if "16" in self._encoding or "32" in self._encoding:
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
        width, last = None, 0
        records = self._records(file, strict=True)
        while True:
            try:
                number, fields = next(records)
            except StopIteration:
                return None
            except csv.Error as error:
                return (
                    f"{self.path.name}: the record after line {last} is malformed ({error}). Is a quote never closed, "
                    "or inside a field? Try --no-quotes."
                )
            last, width = number, len(fields) if width is None else width
            if len(fields) > width:
                return (
                    f"{self.path.name} line {number}: expected {width} fields separated by {self.separator!r}, "
                    f"found {len(fields)}. Is a separator or a quote inside a field? Try --separator or --no-quotes."
                )


def first_line(error: PolarsError) -> str:
    """The part of a parser's message that is about the file."""
    return str(error).strip().split("\n", maxsplit=1)[0]
