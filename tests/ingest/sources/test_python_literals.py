"""Python dict literals, line by line: the quick way gives what Python itself reads."""

import ast
import gzip
import tempfile
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.errors import DataError
from llara.ingest.sources.python_literals import _scan, is_json_lines, read_python_literals


def file_with(tmp_path: Path, *lines: str, name: str = "x.json") -> Path:
    path = tmp_path / name
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def read(path: Path, *texts: str, lists: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    return read_python_literals(path, texts=texts, lists=lists).frame.rows()


def left_to_python(path: Path, texts: tuple[str, ...], lists: tuple[str, ...] = ()) -> list[str]:
    return _scan(path, texts=texts, lists=lists).collect()["line"].drop_nulls().to_list()


REVIEW = (
    "{u'username': u'Chaos Syren', u'hours': 0.1, u'products': 41, u'product_id': u'725280', u'page_order': 0, "
    "u'date': u'2017-12-17', u'text': u\"This wouldn't be acceptable as an 'entertainment'\", u'early_access': False}"
)


def test_texts_numbers_booleans_and_what_is_missing(tmp_path: Path) -> None:
    path = file_with(tmp_path, REVIEW, "{u'username': None, u'hours': -3e-05}", name="x.json.gz")
    table = read_python_literals(path, texts=("username", "hours", "early_access", "text"))
    assert table.frame.schema == dict.fromkeys(("username", "hours", "early_access", "text"), pl.String)
    assert table.frame.rows() == [
        ("Chaos Syren", "0.1", "False", "This wouldn't be acceptable as an 'entertainment'"),
        (None, "-3e-05", None, None),
    ]


def test_lists_are_flattened_and_a_single_value_is_a_list(tmp_path: Path) -> None:
    lines = (
        "{'a': [u'Action', u\"Kid's\", 'x, y]']}",
        "{'a': [['Beauty', 'Hair'], ['Beauty']]}",
        "{'a': []}",
        "{'b': ['no']}",
        "{'a': None}",
        "{'a': 'one'}",
        "{'a': [1, None, 'two']}",
        "{'a': [[], '', None], 'b': 'x'}",
        "{'a': ('t',)}",
    )
    path = file_with(tmp_path, *lines)
    assert read(path, lists=("a",)) == [
        (["Action", "Kid's", "x, y]"],),
        (["Beauty", "Hair", "Beauty"],),
        ([],),
        (None,),
        (None,),
        (["one"],),
        (["1", "two"],),
        ([""],),
        (["t"],),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "{u'text': u\"he said , u'id': u'9', u'x': u'\", u'id': u'1'}",
        "{u'text': u'{\\'id\\': \\'9\\'}', u'id': u'1', u'other': u\"'id': 8\"}",
        "{'related': {'id': '9', 'also': ['id', '8']}, 'id': '1'}",
        "{'id': '1', 'rank': {'id': 9}, 'list': ['id', ', ', ': ']}",
        "{'id': '1', 'rank': {'a': {'id': 9}}}",
        "{'id': '1', 'all': [{'id': '9'}]}",
        "{'a': \"id': '9'\", 'id': '1'}",
        "{'id': '9', 'id': '1'}",
        "{'\\x69d': '1'}",
        '{"id": "1", "x": "\\\\", "y": ", \'id\': 9"}',
        "  {'x':['id' ,9] , 'id':1 }\t",
        "{'x': '''a'id': '9'b''', 'id': '1'}",
        "{'x': r'\\', 'id': '9'}, '", "{'x': 'a' 'id', 'id': '1'}", "{'x': b'id', 'id': '1'}",
    ],
)  # fmt: skip
def test_no_text_and_no_dict_inside_is_taken_for_a_field(tmp_path: Path, line: str) -> None:
    path = file_with(tmp_path, line)
    try:
        expected = ast.literal_eval(line.strip())["id"]
    except SyntaxError:
        with pytest.raises(DataError, match="line 1"):
            read(path, "id")
    else:
        assert read(path, "id") == [(str(expected),)]
        assert str(expected) == "1"


def test_a_field_that_only_a_text_mentions_is_missing(tmp_path: Path) -> None:
    path = file_with(tmp_path, "{u'text': u\"x', u'id': u'9', u'y': u'z\"}", "{'rank': {'id': 1}}")
    assert read(path, "id") == [(None,), (None,)]


def test_plain_lines_are_read_without_python(tmp_path: Path) -> None:
    """What the publishers' files hold takes the quick way: quotes, escapes, dicts and lists of lists inside."""
    meta = (
        "{'asin': '0005069491', 'categories': [['Toys & Games'], ['A', \"B's\"]], 'title': \"Kid's \\xe9 \\\\\", "
        "'price': 37.12, 'salesRank': {'Toys & Games': 576683}, 'related': {'also_bought': ['1', '2'], 'x': []}}"
    )
    path = file_with(tmp_path, REVIEW, meta, "{'x': u'\\u4e2d\\U0001f600 \\'\\n'}", "{'odd':1}")
    assert left_to_python(path, ("asin", "title", "username"), ("categories",)) == ["{'odd':1}"]


def test_blank_lines_carriage_returns_and_a_byte_order_mark_move_no_line_number(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes("\ufeff{'a': '1\u2028'}\r\n\r\n  \n{'a': '2'}\n{'a':'3'}".encode())
    table = read_python_literals(path, texts=("a",))
    assert table.frame["a"].to_list() == ["1\u2028", "2", "3"]
    assert [table.locate(row) for row in range(3)] == ["x.json line 1", "x.json line 4", "x.json line 5"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'a': 'b'", r"expected a Python dict literal \('\{' was never closed\)\. Is the file complete\?"),
        ("{'a': 'b}", r"expected a Python dict literal \(unterminated string literal\)"),
        ("{'a': open('x')}", r"expected a Python dict literal \(malformed node or string\)"),
        ("{'a': nan}", r"expected a Python dict literal \(malformed node or string\)"),
        ("{[1]: 2}", "expected a Python dict literal"),
        ("{\x1fa\x1e: 1}", "expected a Python dict literal"),
        ("['a']", "expected a Python dict literal, found a list"),
        ("{'a': {'b': 1}}", "'a' is a dict, expected a text or a number"),
        ("{'a': ['b']}", "'a' is a list, expected a text or a number"),
        ("{'l': {'b': 1}}", "'l' is a dict, expected a text or a number"),
        ("{'a': 1j}", "'a' is a complex"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"x.json line 3: .*{message}"):
        read(file_with(tmp_path, "{'a': '1'}", "", line, "{'a': '2'}"), "a", lists=("l",))


def test_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(DataError, match="line 1"):
        read(file_with(tmp_path, f"{{'a': __import__('pathlib').Path({str(mark)!r}).touch()}}"), "a")
    assert not mark.exists()


def test_files_that_are_empty_or_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.json has no lines"):
        read(file_with(tmp_path, "", " "), "a")
    path = tmp_path / "x.json"
    path.write_bytes(b"{'a': '1'}\n{'a': '\xff'}\n")
    with pytest.raises(DataError, match=r"x\.json line 2: byte 0xff is not UTF-8"):
        read(path, "a")
    path = tmp_path / "y.json.gz"
    path.write_bytes(gzip.compress(b"{'a': '1'}\n" * 1000)[:-20])
    with pytest.raises(DataError, match="damaged or cut short"):
        read(path, "a")


def test_half_a_surrogate_pair_is_replaced_and_a_pair_is_joined(tmp_path: Path) -> None:
    path = file_with(tmp_path, r"{'a': '\ud83d\ude00', 'l': ['\ud83d']}", r"{'a' : '\ud83d\ude00', 'l': ['\ud83d']}")
    assert read(path, "a", lists=("l",)) == [("😀", ["\ufffd"])] * 2


def test_json_is_told_from_literals(tmp_path: Path) -> None:
    assert is_json_lines(file_with(tmp_path, "", '{"a": "1"}', name="x.json.gz"))
    assert not is_json_lines(file_with(tmp_path, "{'a': '1'}"))
    assert not is_json_lines(file_with(tmp_path, "5"))
    assert not is_json_lines(file_with(tmp_path))
    path = tmp_path / "y.json.gz"
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="damaged"):
        is_json_lines(path)


NASTY = st.text(
    st.one_of(
        st.sampled_from("'\"\\u, :{}[]\n\t\x1f\x1e\x00\u2028\x85é中😀"),
        st.characters(blacklist_categories=["Cs"]),
    ),
    max_size=12,
)
TEXTS = st.one_of(
    NASTY, st.sampled_from(["'id': 'x'", "\", u'id': u\"x", "\\", "', 'id': 'x", "None", "id", "{'id': 1}"])
)
SCALARS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
LISTS = st.lists(st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=3)
OTHER = st.one_of(
    SCALARS, LISTS, st.dictionaries(st.one_of(TEXTS, st.just("id")), st.one_of(SCALARS, LISTS), max_size=3)
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(st.dictionaries(TEXTS.filter(lambda key: key not in ("id", "tags")), OTHER, max_size=3))
    fields |= draw(st.fixed_dictionaries({}, optional={"id": SCALARS, "tags": LISTS}))
    keys = draw(st.permutations(sorted(fields)))
    return {key: fields[key] for key in keys}


def literal(value: Any, *, python2: bool, escaped: bool) -> str:
    """A value as `repr` writes it, or as Python 2 did: texts with a "u", beyond ASCII escaped."""
    if isinstance(value, dict):
        items = (f"{literal(key, python2=python2, escaped=escaped)}: {literal(inner, python2=python2, escaped=escaped)}"
                 for key, inner in value.items())  # fmt: skip
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(inner, python2=python2, escaped=escaped) for inner in value) + "]"
    if isinstance(value, str):
        return ("u" if python2 else "") + (ascii(value) if escaped else repr(value))
    return repr(value)


def expected_row(record: dict[str, Any]) -> tuple[Any, Any]:
    value, tags = record.get("id"), record.get("tags")
    flat = None
    if tags is not None:
        flat = [str(tag) for part in tags for tag in (part if isinstance(part, list) else [part]) if tag is not None]
    return None if value is None else str(value), flat


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(records(), st.booleans(), st.booleans()), min_size=1, max_size=4))
def test_every_dict_reads_as_python_reads_it(drawn: list[tuple[dict[str, Any], bool, bool]]) -> None:
    lines = [literal(record, python2=python2, escaped=escaped) for record, python2, escaped in drawn]
    assert [ast.literal_eval(line) for line in lines] == [record for record, _, _ in drawn]
    with tempfile.TemporaryDirectory() as folder:
        path = file_with(Path(folder), *lines)
        rows = read(path, "id", lists=("tags",))
    assert rows == [expected_row(record) for record, _, _ in drawn]


@settings(max_examples=150, deadline=None)
@given(st.text("'\"\\u, :{}[]idxn01\x1f\x1e", min_size=1, max_size=25))
def test_whatever_the_quick_way_takes_python_takes_too(inside: str) -> None:
    line = "{'id': " + inside + "}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError):
        record = None
    value = record.get("id") if isinstance(record, dict) else record
    with tempfile.TemporaryDirectory() as folder:
        path = file_with(Path(folder), line)
        if isinstance(record, dict) and isinstance(value, str | int | float | None):
            assert read(path, "id") == [(None if value is None else str(value),)]
        else:
            with pytest.raises(DataError, match="line 1"):
                read(path, "id")
