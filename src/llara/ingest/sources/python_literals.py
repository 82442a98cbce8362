"""Files of one Python dict literal per line, as some publishers wrote them, read in a stream and never run.

The quick way puts a control character on either side of every string literal; inside of one, `repr` never leaves any.
From then on a regular expression can tell a key from the same characters within a text, and a grammar of regular
expressions says whether the line is a plain dict. Lines that it does not know go through `ast.literal_eval` one by one.
"""

import ast
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from llara.data.tables import Table, first_line
from llara.errors import DataError
from llara.ingest.archives import LONGEST_LINE, first_packed_bytes, refuse_long_lines, unpacked
from llara.ingest.sources.decoding import decoded

_BLANK = " \t\r\n\ufeff"
_LITERAL = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_MARKED = "\x1f[^\x1e]*\x1e"
"""A string literal between its control characters."""
_MARKS = "\x1f\x1e"
_ESCAPE = r"""\\(?:[\\'"abfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})"""
_DICT_INSIDE = "(\x1e: )" + rf"\{{(?:[^{{}}\x1f]|{_MARKED})*\}}"
_SCALAR = rf"({_MARKED}|[^\x1f\[\]{{}},]+)"
_KINDS: dict[type, str] = {
    dict: "a dict",
    list: "a list",
    tuple: "a list",
    set: "a set",
    str: "a text",
    bytes: "bytes",
    int: "a number",
    float: "a number",
    bool: "a truth value",
    complex: "a complex number",
    type(None): "nothing",
}
_NOISE = re.compile(r" on line \d+|: <.*| \((?:detected|<unknown>).*")
"""What Python's own messages say about a line of a program, which this is none of."""
_TEXTS = rf"(\[(?:[\[\], ]|{_MARKED})*\])(?:, {_MARKED}: |\}}$)"
"""A list of texts up to its end, which only the next key or the end of the line tells."""


def read_python_literals(path: Path, *, texts: Sequence[str], lists: Sequence[str] = ()) -> Table:
    """Read named fields of every line that is not blank.

    Args:
        path: The file, packed or not.
        texts: Fields that are one value. Numbers and booleans become texts as Python writes them; None and a field that
            a line lacks are null.
        lists: Fields that are lists of texts. Lists inside are flattened; a single value is a list of one.

    Returns:
        `texts` as String columns, `lists` as List(String) columns; rows are traceable to their lines.

    Raises:
        DataError: If a line is no dict literal, or a field is of another kind; the message names the line.
    """
    with unpacked(path) as plain:
        refuse_long_lines(plain, path.name)
        try:
            frame = _scan(plain, texts=texts, lists=lists).collect(engine="streaming")
        except PolarsError as error:
            raise DataError(
                _undecodable(plain, path.name) or f"{path.name} cannot be read as lines of text ({first_line(error)})."
            ) from error
        if frame.is_empty():
            raise DataError(f"{path.name} has no lines. Is the download complete?")
        frame = frame.with_columns(_unquoted(frame[name]) for name in (*texts, *lists))
        frame = _with_other_lines(frame, plain, name=path.name, texts=texts, lists=lists)
    return Table(frame, path.name, lambda row: _located(path, row), (*texts, *lists))


def is_json_lines(path: Path) -> bool:
    """Whether the first line that is not blank is a JSON object: some publishers went from literals to JSON.

    Raises:
        DataError: If the file is damaged.
    """
    line = first_packed_bytes(path, LONGEST_LINE).lstrip().split(b"\n", maxsplit=1)[0]
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _scan(plain: Path, *, texts: Sequence[str], lists: Sequence[str]) -> pl.LazyFrame:
    """The fields, still as literals, and `line` where the line needs another look."""
    line, marked = pl.col("line"), pl.col("marked")
    lines = pl.scan_lines(plain).select(line.str.strip_chars(_BLANK)).filter(line != "")
    known = lines.with_columns(line.str.replace_all(_LITERAL, "\x1f${0}\x1e").alias("marked")).with_columns(
        marked.str.contains(_GRAMMAR).alias("known"),
        # The keys of a dict inside are not the line's own.
        marked.str.replace_all(_DICT_INSIDE, "${1}{}"),
    )
    found = known.with_columns(
        *(marked.str.extract(_key(name) + _SCALAR).alias(name) for name in texts),
        *(marked.str.extract(_key(name) + _TEXTS).alias(name) for name in lists),
    )
    # Once and of the right kind, or not at all.
    clear = (
        marked.str.count_matches(_key(name)) == pl.col(name).is_not_null().cast(pl.UInt32) for name in (*texts, *lists)
    )
    sure = pl.all_horizontal("known", *clear)
    return found.select(
        pl.when(~sure).then(line).alias("line"),
        *(pl.when(sure & (pl.col(name) != "None")).then(pl.col(name)).alias(name) for name in texts),
        *(pl.when(sure).then(pl.col(name).str.extract_all(_MARKED)).alias(name) for name in lists),
    )


def _key(name: str) -> str:
    return "\x1fu?['\"]" + re.escape(name) + "['\"]\x1e: "


def _grammar() -> str:
    """A dict of scalars, lists, lists of lists and flat dicts, as `repr` writes it and without doubtful escapes."""
    text = rf"\x1fu?['\"](?:[^\x00-\x1f\\]|{_ESCAPE})*['\"]\x1e"
    key = r"\x1fu?['\"][^\x00-\x1f\\]*['\"]\x1e"
    number = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?"
    scalar = f"(?:{text}|{number}|True|False|None)"
    flat = rf"\[(?:{scalar}(?:, {scalar})*)?\]"
    value = f"(?:{scalar}|{flat})"
    nested = rf"\[{value}(?:, {value})*\]"
    inside = rf"\{{(?:{key}: {value}(?:, {key}: {value})*)?\}}"
    any_value = f"(?:{value}|{nested}|{inside})"
    return rf"^\{{{key}: {any_value}(?:, {key}: {any_value})*\}}$"


_GRAMMAR = _grammar()


def _unquoted(literals: pl.Series) -> pl.Series:
    """What the string literals say; other scalars stay as they are."""
    known = decoded(literals, r"\\", lambda text: f"'{_representable(ast.literal_eval(text.strip(_MARKS)))}'")
    content = pl.element() if known.dtype == pl.List else pl.col(known.name)
    content = content.str.replace("(?s)^\x1f?u?['\"](.*)['\"]\x1e?$", "${1}")
    return known.list.eval(content) if known.dtype == pl.List else known.to_frame().select(content).to_series()


def _representable(text: str) -> str:
    """Surrogate pairs joined; half of a pair, which is no character, replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _with_other_lines(
    frame: pl.DataFrame, plain: Path, *, name: str, texts: Sequence[str], lists: Sequence[str]
) -> pl.DataFrame:
    """The fields of all lines, in order; those of the lines that the quick way left."""
    left = frame["line"].is_not_null().arg_true()
    if left.is_empty():
        return frame.drop("line")
    rows = []
    for row, line in zip(left, frame["line"].gather(left), strict=True):
        try:
            rows.append(_fields(line, texts=texts, lists=lists))
        except ValueError as error:
            raise DataError(f"{name} line {_line_number(plain, row)}: {error}") from error
    schema = frame.drop("line").schema
    other = pl.DataFrame(rows, schema=schema, orient="row").with_columns(left.alias("row"))
    known = frame.with_row_index("row").filter(pl.col("line").is_null()).select(*schema, "row")
    return pl.concat([known, other]).sort("row").drop("row")


def _fields(line: str, *, texts: Sequence[str], lists: Sequence[str]) -> tuple[str | list[str] | None, ...]:
    """The fields of one line, read by Python itself.

    Raises:
        ValueError: If it is no dict literal, or a field is of another kind.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" is an escape that Python knows no more, and reads as it stands
            record = ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        reason = _NOISE.sub("", str(error))
        raise ValueError(f"expected a Python dict literal ({reason}). Is the file complete?") from error
    if not isinstance(record, dict):
        raise ValueError(f"expected a Python dict literal, found {_KINDS.get(type(record), 'something else')}.")
    return (*(_text(record, key) for key in texts), *(_list(record, key) for key in lists))


def _text(record: dict[str, object], key: str) -> str | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return _representable(value)
    if isinstance(value, bool | int | float):
        return str(value)
    raise ValueError(f"{key!r} is {_KINDS.get(type(value), 'something else')}, expected a text or a number.")


def _list(record: dict[str, object], key: str) -> list[str] | None:
    value = record.get(key)
    if value is None:
        return None
    elements: list[object] = []
    for element in value if isinstance(value, list | tuple) else [value]:
        elements.extend(element if isinstance(element, list | tuple) else [element])
    texts = (_text({key: element}, key) for element in elements)
    return [text for text in texts if text is not None]


def _located(path: Path, row: int) -> str:
    with unpacked(path) as plain:
        return f"{path.name} line {_line_number(plain, row)}"


def _line_number(plain: Path, row: int) -> int:
    """The number, from 1, of a line that is not blank, counted from 0."""
    with plain.open(encoding="utf-8", newline="\n") as file:
        numbers = (number for number, line in enumerate(file, start=1) if line.strip(_BLANK))
        return next(number for at, number in enumerate(numbers) if at == row)


def _undecodable(plain: Path, name: str) -> str | None:
    """The first line that is not UTF-8."""
    with plain.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return (
                    f"{name} line {number}: byte 0x{error.object[error.start]:02x} is not UTF-8. Is the file damaged?"
                )
    return None
