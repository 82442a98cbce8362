"""Item text: what a template writes, what becomes of missing values, what is refused."""

import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data.item_text import parse_item_text, readable
from llara.errors import ConfigError

DOCS = Path(__file__).resolve().parents[2] / "docs" / "item-text.md"
COLUMNS = ("year", "genres", "author")


def write(template: str, **values: object) -> str:
    """The text of one item; a column without a value is missing."""
    named = dict.fromkeys(parse_item_text(template).columns) | {"title": "Heat"} | values
    frame = pl.DataFrame({name: [value] for name, value in named.items()}, strict=False)
    texts = parse_item_text(template).write(frame["title"], frame.drop("title"))
    assert len(texts) == 1
    return str(texts[0])


def documented() -> list[tuple[str, str, str]]:
    """Rows of the documentation's table: template, values, text."""
    rows = [line.split(" | ") for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return [(row[0].strip("|` "), row[1].strip("` "), row[2].strip("|` ")) for row in rows]


@pytest.mark.parametrize(("template", "values", "text"), documented())
def test_each_documented_example_is_true(template: str, values: str, text: str) -> None:
    given = dict(value.split("=") for value in values.split(", ")) if values != "none" else {}
    assert write(template, **given) == text


def test_the_documentation_has_examples() -> None:
    assert len(documented()) >= 12


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("{title}", {}, "Heat"),
        ("{title} ({year}; {genres})", {"year": 1995, "genres": "Crime"}, "Heat (1995; Crime)"),
        ("{title} ({year}; {genres})", {"year": 1995}, "Heat (1995)"),
        ("{title} ({year}; {genres})", {"genres": "Crime"}, "Heat (Crime)"),
        ("{title} ({year}; {genres})", {}, "Heat"),
        ("{title} by {author}", {"author": "Mann"}, "Heat by Mann"),
        ("{title} by {author}", {}, "Heat"),
        ("{title}: {author}, {year}.", {"year": 1995}, "Heat, 1995."),
        ("{title}: {author}, {year}.", {}, "Heat."),
        ("{author}: {title}", {}, "Heat"),
        ("by {author}: {title}", {}, "Heat"),
        ("[{year}] {title}", {}, "Heat"),
        ("{title} - [{year}]", {}, "Heat"),
        ("{title}. Genres: [{genres}]", {}, "Heat"),
        ("{title} (film, {year})", {"year": 1995}, "Heat (film, 1995)"),
        ("{title} (film, {year})", {}, "Heat"),
        ("{title} (from {year}; {genres})", {"genres": "Crime"}, "Heat (from Crime)"),
        ("{title} (made {year}, by {author})", {"author": "Mann"}, "Heat (by Mann)"),
        ("{title} (made {year} in all, by {author})", {"author": "Mann"}, "Heat (by Mann)"),
        ("{title} (year: {year}, author: {author})", {"author": "Mann"}, "Heat (author: Mann)"),
        ("{title} ({year}, {genres} film)", {"year": 1995}, "Heat (1995 film)"),
        ("{title} ({year} [{genres}])", {"genres": "Crime"}, "Heat ([Crime])"),
        ("{title} ({year} [{genres}; {author}])", {"year": 1995, "author": "Mann"}, "Heat (1995 [Mann])"),
        ("{title} ({year} [{genres}])", {}, "Heat"),
        ("{title} ( {year}, {genres} )", {"genres": "Crime"}, "Heat ( Crime )"),
        ("{title} (film)", {}, "Heat (film)"),
        ("{title} {{{year}}}", {"year": 1995}, "Heat {1995}"),
        ("{title} {{{year}}}", {}, "Heat"),
        ("  {title}\n\t({year})  ", {"year": 1995}, "Heat (1995)"),
        ("{title} ({year}), {year}", {"year": 1995}, "Heat (1995), 1995"),
    ],
)
def test_templates_worked_by_hand(template: str, values: dict[str, object], text: str) -> None:
    assert write(template, **values) == text


def test_brackets_and_braces_in_values_are_just_text() -> None:
    written = write("{title} ({year}; {genres})", title="Toy Story (1995) {x}", year="(?)", genres="[{title}]")
    assert written == "Toy Story (1995) {x} ((?); [{title}])"
    assert write("{title} ({year})", title="Toy Story (1995") == "Toy Story (1995"


words = st.text(alphabet="abcdefgh", min_size=1, max_size=5)
pieces = st.sampled_from([", ", "; ", " · ", " by ", ", made ", " - ", ": ", " "])


@st.composite
def templates(draw: st.DrawFn) -> str:
    """The title and each column once, in a random order, bracketed at random."""
    names = draw(st.permutations(["title", *COLUMNS]))
    template, closing = "", ""
    for name in names:
        template += draw(pieces) if template and template[-1] not in "([" else ""
        if not closing and draw(st.booleans()):
            bracket = draw(st.sampled_from(["()", "[]"]))
            template, closing = template + bracket[0], bracket[1]
        template += f"{{{name}}}"
        if closing and draw(st.booleans()):
            template, closing = template + closing, ""
    return template + closing


@st.composite
def items(draw: st.DrawFn) -> dict[str, str | None]:
    return {"title": draw(words).upper(), **{name: draw(st.none() | words.map(str.upper)) for name in COLUMNS}}


@given(template=templates(), values=items())
def test_missing_values_leave_nothing_behind(template: str, values: dict[str, str | None]) -> None:
    text = write(template, **values)
    assert text == text.strip()
    assert "  " not in text
    assert not re.search(r"[(\[][^A-Za-z(\[]*[)\]]", text)  # no brackets around nothing
    assert not re.search(r"[,;·:-] ?[,;·:-]", text)  # no doubled separators
    assert not re.search(r"^[,;·:-]|[(\[] ?[,;·:-]|[,;·:-] ?[)\]]|[,;·:-]$", text)  # none that separates nothing
    assert text.count("(") == text.count(")")
    assert text.count("[") == text.count("]")
    present = [values[name] for name in re.findall(r"{(\w+)}", template) if values[name] is not None]
    assert re.findall(r"[A-Z]+", text) == present


@given(template=templates(), values=items())
def test_with_every_value_the_text_is_that_of_str_format(template: str, values: dict[str, str | None]) -> None:
    full = {name: value or "X" for name, value in values.items()}
    assert write(template, **full) == template.format(**full)


@given(rows=st.lists(items(), min_size=1, max_size=8), template=templates())
def test_a_catalog_is_written_as_its_items_alone(rows: list[dict[str, str | None]], template: str) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String))
    texts = parse_item_text(template).write(frame["title"], frame.drop("title"))
    assert texts.to_list() == [write(template, **row) for row in rows]


@given(rows=st.lists(items(), max_size=8), columns=st.lists(st.sampled_from(COLUMNS), unique=True, min_size=1))
def test_columns_in_one_bracket_are_joined_as_they_were_before_templates(
    rows: list[dict[str, str | None]], columns: list[str]
) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(("title", *COLUMNS), pl.String))
    template = f"{{title}} ({'; '.join(f'{{{column}}}' for column in columns)})"
    details = ["; ".join(row[column] or "" for column in columns if row[column]) for row in rows]
    expected = [
        f"{row['title']} ({extra})" if extra else row["title"] for row, extra in zip(rows, details, strict=True)
    ]
    assert parse_item_text(template).write(frame["title"], frame.drop("title")).to_list() == expected


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (["Comedy|Drama", " a | b ", "|x||y|", "|", " ", "", None], ["Comedy, Drama", "a, b", "x, y", *[None] * 4]),
        ([1995.0, 3.5, float("nan"), float("inf"), -0.0], ["1995", "3.5", None, None, "0"]),
        ([[1.0, 2.5], [None], [], None], ["1, 2.5", None, None, None]),
        ([["rock", "", None, " pop\n"], ["", ""]], ["rock, pop", None]),
        (["two\n lines\u0000"], ["two lines"]),
        ([True, None], ["true", None]),
        ([date(1995, 12, 15)], ["1995-12-15"]),
        ([None, None], [None, None]),
    ],
)
def test_values_become_readable(values: list[object], texts: list[str | None]) -> None:
    assert readable(pl.Series("x", values)).to_list() == texts


def test_whole_numbers_beyond_integers_stay() -> None:
    assert float(readable(pl.Series([1e20]))[0]) == 1e20


def test_arrays_are_lists_and_empty_columns_stay_empty() -> None:
    pairs = pl.Series("x", [[1, 2], [3, None]], dtype=pl.Array(pl.Int64, 2))
    assert readable(pairs).to_list() == ["1, 2", "3"]
    assert readable(pl.Series("x", [], dtype=pl.List(pl.String))).to_list() == []
    assert readable(pl.Series("x", [], dtype=pl.Float64)).to_list() == []


@pytest.mark.parametrize(
    "values",
    [pl.Series("extra", [{"a": 1}]), pl.Series("extra", [[[1]]]), pl.Series("extra", [b"x"])],
    ids=["struct", "lists of lists", "bytes"],
)
def test_values_that_are_no_text_are_refused(values: pl.Series) -> None:
    with pytest.raises(ConfigError, match=r"metadata column 'extra' holds .*write this one as text"):
        parse_item_text("{title} ({extra})").write(pl.Series(["T"]), values.to_frame())


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{title", "expected '}' before end of string. Write fields as in '{title} ({year}; {genres})'"),
        ("{title}}", "Single '}' encountered"),
        ("{title} ({year}", "'(' is never closed"),
        ("{title} {year})", "')' closes no bracket"),
        ("{title} ({year}]", "']' does not close '('"),
        ("{title} {{x", "'{' is never closed"),
        ("{title} ({})", "{} names no column. Name it"),
        ("{title!r}", "{title!r} is more than a column's name. Write {title}."),
        ("{title} {year:>4}", "{year:>4} is more than a column's name. Write {year}."),
        ("{year} {genres}", "found {year}, {genres} but not {title}"),
        ("", "found no field but not {title}"),
        ("title", "found no field but not {title}"),
    ],
)
def test_a_malformed_template_is_shown_with_what_to_write(template: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_item_text(template)
    assert str(caught.value).startswith(f"item text template '{template}': ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (["genres"], "write \"{title} ({genres})\", not ['genres']"),
        (("author", "subjects"), 'write "{title} ({author}; {subjects})"'),
        ([], 'write "{title}", not []'),
        ({"title": None}, "in YAML it needs quotes"),
        (None, "found nothing"),
        (3, "found 3"),
    ],
)
def test_what_is_no_text_is_refused_with_the_template_to_write(value: object, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_item_text(value)  # type: ignore[arg-type]
    assert remedy in str(caught.value)
