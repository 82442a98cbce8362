"""`read_table`: one file of any kind as a table, each row traceable; separated text is left to `text_files`."""

import codecs
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from llara.data.tables import Table, first_line, scan_parquet, separator_doubt
from llara.errors import DataError
from llara.ingest.archives import LONGEST_LINE, copying, inner_name, refuse_long_lines, scratch_folder, unpacked
from llara.ingest.text_files import TextFile, TextFormat

_JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
_ONE_PER_LINE = "expected one JSON object per line"
_BLOCK = 1 << 12


def is_separated_text(path: Path) -> bool:
    """Whether `read_table` reads a file as separated text, told by its suffix."""
    return Path(inner_name(path)).suffix.lower() not in {".parquet", *_JSON_SUFFIXES}


def read_table(
    path: Path,
    text: TextFormat | None = None,
    *,
    columns: Sequence[str] | None = None,
    json_types: dict[str, pl.DataType] | None = None,
) -> Table:
    """Read a Parquet, JSON Lines or separated text file, as it is or packed as .gz or .zip, in a stream.

    Args:
        path: The file; its suffix says which of them it is.
        text: How a separated text file is written.
        columns: The columns to read, where the file has them; None: all. Others take no memory.
        json_types: Types of the fields of JSON Lines, which are otherwise found by reading the whole file; fields that
            are not named are not read.

    Raises:
        DataError: If the file is missing, empty, or cannot be parsed; the message names the line where it is known.
        ConfigError: If the separator cannot be told from the suffix.
    """
    try:
        table = _read(path, text, columns=columns, json_types=json_types)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}. May you read the file?") from error
    if table.frame.is_empty() and table.frame.columns:
        raise DataError(f"{path.name} has no rows. {separator_doubt(table.names)}Is the download complete?")
    return table


def _read(
    path: Path, text: TextFormat | None, *, columns: Sequence[str] | None, json_types: dict[str, pl.DataType] | None
) -> Table:
    if not path.is_file():
        raise DataError(f"{path} does not exist or is not a file. Check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Is the download complete?")
    suffix = Path(inner_name(path)).suffix.lower()
    if suffix == ".parquet":
        with unpacked(path) as plain:
            frame, names = scan_parquet(plain, columns)
        return Table(frame, path.name, lambda row: f"{path.name} row {row + 1}", names)
    if suffix in _JSON_SUFFIXES:
        return _read_json_lines(path, columns, json_types)
    file = TextFile.of(path, text or TextFormat())
    frame, names = file.read(columns)
    return Table(frame, path.name, file.locate, names)


def _read_json_lines(path: Path, columns: Sequence[str] | None, types: dict[str, pl.DataType] | None) -> Table:
    with unpacked(path) as content, _without_mark(content, path) as plain:
        refuse_long_lines(plain, path.name)
        try:
            lazy = pl.scan_ndjson(plain, schema=types, infer_schema_length=None)
            names = lazy.collect_schema().names()
            kept = names if columns is None else [name for name in names if name in columns]
            frame = lazy.select(kept).collect(engine="streaming")
        except PolarsError as error:
            raise DataError(
                _json_complaint(plain, path.name, types)
                or f"{path.name} cannot be read as one JSON object per line ({first_line(error)}). Is each field of "
                "one kind in all lines?"
            ) from error
        texts = [] if types else [name for name, kind in frame.schema.items() if kind == pl.String]
        _refuse_mixed_types(plain, path.name, frame, texts)
    return Table(frame, path.name, lambda row: _json_line(path, row), names)


@contextmanager
def _without_mark(content: Path, path: Path) -> Iterator[Path]:
    """The content without the mark that some programs put before UTF-8, which the parser takes for an error."""
    with content.open("rb") as file:
        start = file.read(_BLOCK)
        has_mark = start.startswith(codecs.BOM_UTF8)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{path.name} is UTF-16; JSON Lines must be UTF-8. Convert the file.")
        if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
            name = inner_name(path)
            remedy = f"jq -c '.[]' {name} > {Path(name).stem}.jsonl"
            raise DataError(f"{path.name} is a JSON array; {_ONE_PER_LINE}. Write it so: {remedy}")
        if not has_mark:
            yield content
            return
        with scratch_folder() as folder:
            plain = folder / content.name
            with copying(path), plain.open("wb") as copy:
                file.seek(len(codecs.BOM_UTF8))
                shutil.copyfileobj(file, copy, LONGEST_LINE)
            yield plain


def _json_line(path: Path, row: int) -> str:
    with unpacked(path) as plain, plain.open("rb") as file:
        numbers = (number for number, line in enumerate(file, start=1) if line.removeprefix(codecs.BOM_UTF8).strip())
        return f"{path.name} line {next(number for at, number in enumerate(numbers) if at == row)}"


def _refuse_mixed_types(plain: Path, name: str, frame: pl.DataFrame, texts: list[str]) -> None:
    """Refuse a field that is a number in one line and a text in another: the two would silently become one kind."""
    for column in texts:
        if not frame[column].str.contains(r"^-?\d+$").any():
            continue
        key = rf'"{re.escape(column)}"\s*:\s*'
        number, text = (
            pl.scan_lines(plain)
            .select(
                pl.col("line").str.contains(key + r"-?\d").arg_true().first().alias("number"),
                pl.col("line").str.contains(key + '"').arg_true().first().alias("text"),
            )
            .collect(engine="streaming")
            .row(0)
        )
        if number is None or text is None:
            continue
        first, second = sorted((number, text))
        kinds = [_json_kind(plain, line, column) for line in (first, second)]
        if set(kinds) == {"number", "text"}:  # not so where the match was in a nested object
            raise DataError(
                f"{name} line {second + 1}: {column!r} is a {kinds[1]} here and a {kinds[0]} in line {first + 1}; "
                '1 and "1" would become the same. Write it in one way.'
            )


def _json_kind(plain: Path, line: int, column: str) -> str:
    """What a field of one line is: "number", "text" or something else."""
    with plain.open("rb") as file:
        value = json.loads(next(islice(file, line, None))).get(column)
    return {int: "number", float: "number", str: "text"}.get(type(value), "other")


def _json_complaint(plain: Path, name: str, types: Mapping[str, pl.DataType] | None) -> str | None:
    """The first line that is no JSON object, or has a field of another kind than a line before it."""
    kinds: dict[str, tuple[str, int]] = {}
    with plain.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode(), parse_constant=_refuse_constant)
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                return f"{name} line {number}: byte 0x{byte:02x} is not UTF-8; JSON Lines must be. Convert the file."
            except (ValueError, RecursionError) as error:
                reason = str(error).split(": line ", maxsplit=1)[0]
                return (
                    f"{name} line {number}: {_ONE_PER_LINE} ({reason}). Is the file complete, and each object on one "
                    "line?"
                )
            if not isinstance(record, dict):
                return f"{name} line {number}: expected a JSON object, found {_kind_of(record) or 'an empty value'}."
            for key, kind in ((key, _kind_of(record[key])) for key in record if not types or key in types):
                first, at = kinds.setdefault(key, (kind, number)) if kind else ("", 0)
                if first != kind:
                    return (
                        f"{name} line {number}: {key!r} is {kind} here and {first} in line {at}. Write it in one way."
                    )
    return None if kinds else f"{name} has no rows. Is the download complete?"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _kind_of(value: object) -> str:
    """A word for the kind of a JSON value; empty for null, which goes with all of them."""
    if isinstance(value, list):
        inner = next((kind for kind in map(_kind_of, value) if kind), "")
        return f"a list of {inner.removeprefix('a ').removeprefix('an ')}s" if inner else ""
    kinds = {int: "a number", float: "a number", str: "a text", bool: "a truth value", dict: "an object"}
    return kinds.get(type(value), "")
