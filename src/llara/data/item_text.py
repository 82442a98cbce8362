"""Item text: a template such as "{title} ({year}; {genres})" in which missing values vanish cleanly."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Formatter

import polars as pl
from polars.datatypes import DataTypeClass

from llara.data.columns import one_line
from llara.errors import ConfigError

TITLE_ONLY = "{title}"
_EXAMPLE = "{title} ({year}; {genres})"
_PAIR = "Brackets mark what vanishes together: pair it or leave it out."
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_WHITE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_SEPARATORS = " ,;:.|/\\·•–—-+&~>"
_LAST_SEPARATOR = re.compile(r".*(?:[,;|·•–—]| -(?= ))")


@dataclass(frozen=True)
class Part:
    """A field or a group, with the text before it.

    Attributes:
        content: Column name, or the inner group.
        first: Text before it where nothing of its group is written yet.
        later: Text before it where something is.
    """

    content: "str | Group"
    first: str
    later: str


@dataclass(frozen=True)
class Group:
    """What stands in a pair of brackets, or the whole template."""

    opening: str
    parts: tuple[Part, ...]
    closing: str


@dataclass(frozen=True)
class ItemText:
    """A parsed template.

    Attributes:
        template: As written.
        columns: Metadata columns that it names, each once, in order.
        root: Its parts.
    """

    template: str
    columns: tuple[str, ...]
    root: Group

    def write(self, titles: pl.Series, metadata: pl.DataFrame) -> pl.Series:
        """One line per item.

        Args:
            titles: Titles, never missing.
            metadata: Row i belongs to title i; holds all `columns`.

        Raises:
            ConfigError: If a column's values cannot be read as texts.
        """
        values = {column: readable(metadata[column]) for column in self.columns}
        return _written(self.root, {**values, "title": titles})


def parse_item_text(template: str) -> ItemText:
    """Read a template of an item's text.

    - `{title}` and `{column}` are fields. `{{` and `}}` are braces.
    - Text in round, square or doubled curly brackets is a group; groups may be nested. A group whose fields are all
      missing vanishes.
    - The text before a field or a group belongs to it and vanishes with it: "{title} by {author}" is the title alone
      where the author is missing.
    - Where nothing of the same group (or, outside of groups, of the template) is written yet, the separator before a
      field goes too, and its own words stay: "(released {year}, rated {rating})" without a year is "(rated 4)". A field
      without words of its own takes those that its group opens with: "(tags: {a}, {b})" without a is "(tags: b)".
    - The text after a group's last field stays as long as the group does.

    Args:
        template: Text with the field `{title}` and metadata columns, such as "{title} ({year}; {genres})".

    Raises:
        ConfigError: If it is no such template; the message shows it and what to write.
    """
    if not isinstance(template, str):
        raise ConfigError(_about_no_text(template))
    groups = [_OpenGroup()]
    columns: list[str] = []
    for text, column in _pieces(template):
        _add_text(text, groups, template)
        if column is not None:
            groups[-1].add(column)
            columns.append(column)
    if len(groups) > 1:
        raise _malformed(template, f"'{groups[-1].bracket}' is never closed", _PAIR)
    if "title" not in columns:
        found = ", ".join(f"{{{column}}}" for column in columns) or "no field"
        raise _malformed(
            template,
            f"found {found} but not {{title}}",
            f"Other columns may be missing, so every item needs its title: write '{_EXAMPLE}', for example.",
        )
    names = tuple(dict.fromkeys(column for column in columns if column != "title"))
    return ItemText(template=template, columns=names, root=groups[0].close())


def readable(values: pl.Series) -> pl.Series:
    """Metadata values as one-line texts; null where there is nothing to say.

    Lists, and texts that separate values by "|", are joined by commas. Whole floats are written as integers.

    Raises:
        ConfigError: If the values are neither texts, numbers, dates nor lists of these.
    """
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if isinstance(values.dtype, pl.List):
        inner = values.dtype.inner
        _refuse_unreadable(values, inner)
        texts = values.list.eval(_as_text(pl.element(), inner)).list.drop_nulls().list.join("|")
    else:
        _refuse_unreadable(values, values.dtype)
        texts = values.to_frame().select(_as_text(pl.first(), values.dtype)).to_series()
    joined = one_line(texts).str.strip_chars("| ").str.replace_all(r" *\|[ |]*", ", ")
    return joined.set(joined == "", None)


@dataclass
class _OpenGroup:
    """A group that is being read."""

    bracket: str = ""
    text: str = ""
    lead: str = ""
    white: str = ""
    parts: list[Part] = field(default_factory=list)

    def add(self, content: str | Group) -> None:
        """End the text before a field or a group with it."""
        if not self.parts:
            self.lead = self.text.lstrip()
            self.white = self.text[: len(self.text) - len(self.lead)]
            first = self.lead
        else:
            first = _own_words(self.text) or (self.lead if self.bracket else "")
        self.parts.append(Part(content, first=first, later=self.text))
        self.text = ""

    def close(self) -> Group:
        """The finished group; all text after its last part ends it."""
        closing = self.text + _CLOSING[self.bracket] if self.bracket else self.text.rstrip()
        return Group(self.bracket + self.white if self.bracket else "", tuple(self.parts), closing)


def _own_words(text: str) -> str:
    """What remains of the text between two fields without the first: "; rated " -> "rated "."""
    return _LAST_SEPARATOR.sub("", text).lstrip(_SEPARATORS)


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """Text and the column that follows it; refuses what a plain field cannot be."""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        remedy = f"Write fields as in '{_EXAMPLE}', and a brace itself twice."
        raise _malformed(template, str(error), remedy) from error
    for text, column, layout, conversion in pieces:
        if column == "":
            raise _malformed(template, "{} names no column", f"Name it, as in '{_EXAMPLE}'.")
        if column is not None and (layout or conversion is not None):
            found = f"{column}{'!' + conversion if conversion else ''}{':' + layout if layout else ''}"
            raise _malformed(template, f"{{{found}}} is more than a column's name", f"Write {{{column}}}.")
        yield _WHITE.sub(" ", text), column


def _add_text(text: str, groups: list[_OpenGroup], template: str) -> None:
    """Add text to the innermost open group; brackets open and close groups."""
    for character in text:
        if character in _CLOSING:
            groups.append(_OpenGroup(character))
        elif character in _CLOSING.values():
            if _CLOSING.get(groups[-1].bracket) != character:
                open_one = groups[-1].bracket
                what = f"'{character}' does not close '{open_one}'" if open_one else f"'{character}' closes no bracket"
                raise _malformed(template, what, _PAIR)
            closed = groups.pop()
            if closed.parts:
                groups[-1].add(closed.close())
            else:
                groups[-1].text += closed.bracket + closed.text + character
        else:
            groups[-1].text += character


def _malformed(template: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError(f"item text template '{template}': {problem}. {remedy}")


def _about_no_text(value: object) -> str:
    """What to write instead of something that is no text."""
    if isinstance(value, list | tuple):
        fields = "; ".join(f"{{{column}}}" for column in value if "{" not in str(column))
        return f"""item text is a template: write "{{title}}{f" ({fields})" if fields else ""}", not {list(value)}."""
    if isinstance(value, Mapping):
        return f"""item text is a template, and in YAML it needs quotes, as in "{_EXAMPLE}"; found {value}."""
    return f"""item text is a template such as "{_EXAMPLE}"; found {"nothing" if value is None else repr(value)}."""


def _written(group: Group, values: Mapping[str, pl.Series]) -> pl.Series:
    """Each item's text of a group; null where all its fields are missing.

    Column by column: null is contagious in `+`, and `coalesce` takes the first line that it did not reach.
    """
    texts: pl.Series | None = None
    for part in group.parts:
        value = values[part.content] if isinstance(part.content, str) else _written(part.content, values)
        opened = part.first + value
        texts = opened if texts is None else _first_present(texts + (part.later + value), texts, opened)
    assert texts is not None
    return group.opening + texts + group.closing


def _first_present(*choices: pl.Series) -> pl.Series:
    return pl.select(pl.coalesce(*choices)).to_series()


def _refuse_unreadable(values: pl.Series, dtype: pl.DataType | DataTypeClass) -> None:
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        raise ConfigError(
            f"metadata column '{values.name}' holds {values.dtype}; item text takes texts, numbers, dates and lists of "
            "these. Choose another column, or write this one as text."
        )


def _as_text(values: pl.Expr, dtype: pl.DataType | DataTypeClass) -> pl.Expr:
    if not dtype.is_float():
        return values.cast(pl.String)
    whole = pl.when(values == values.round(0)).then(values.cast(pl.Int64, strict=False).cast(pl.String))
    return pl.when(values.is_finite()).then(pl.coalesce(whole, values.cast(pl.String)))
