"""Reading files as people write them, and finding the line that is wrong."""

from pathlib import Path

import polars as pl
import pytest

from llara.errors import ConfigError, DataError
from llara.ingest import TextFormat, read_table


def file_with(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.csv", b"a,b\n1,x\n2,y z\n", TextFormat()),
        ("x.csv", b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y z\r\n", TextFormat()),
        ("x.csv", b'a,b\n1,"x"\n\n2,"y z"\n\n', TextFormat()),
        ("x.tsv", b"a\tb\n1\tx\n2\ty z\n", TextFormat()),
        ("x.dat", b"a::b\n1::x\n2::y z\n", TextFormat(separator="::")),
        ("x.dat", b"a::b\r\n1::x\r\n2::y z\r\n", TextFormat(separator="::")),
        ("x.txt", b"a|b\n1|x\n2|y z\n", TextFormat(separator="|", encoding="latin-1")),
        ("x.dat", b"\n\na::b\n1::x\n2::y z\n", TextFormat(separator="::")),
        ("x.jsonl", b'{"a": "1", "b": "x"}\n\n{"a": "2", "b": "y z"}\n', TextFormat()),
        ("x.jsonl", b'\xef\xbb\xbf{"a": "1", "b": "x"}\n{"a": "2", "b": "y z"}\n', TextFormat(encoding="latin-1")),
    ],
)
def test_the_same_table_reads_from_every_format(tmp_path: Path, name: str, content: bytes, text: TextFormat) -> None:
    table = read_table(file_with(tmp_path, name, content), text)
    assert table.frame.rows() == [("1", "x"), ("2", "y z")]
    assert table.frame.columns == ["a", "b"]


def test_columns_without_a_header_are_numbered_from_one(tmp_path: Path) -> None:
    for content, separator in ((b"5\tx\n", "\t"), (b"5::x\n", "::")):
        table = read_table(file_with(tmp_path, "x.data", content), TextFormat(header=False, separator=separator))
        assert table.frame.to_dict(as_series=False) == {"1": ["5"], "2": ["x"]}
        assert table.locate(0) == "x.data line 1"


def test_latin1_is_read_as_told_and_explained_where_not(tmp_path: Path) -> None:
    path = file_with(tmp_path, "x.csv", "a,b\n1,Amélie\n".encode("latin-1"))
    assert read_table(path, TextFormat(encoding="latin-1")).frame["b"].to_list() == ["Amélie"]
    with pytest.raises(DataError, match=r"x.csv line 2: byte 0xe9 is not utf-8. .*--encoding latin-1"):
        read_table(path)
    with pytest.raises(DataError, match=r"line 2: byte 0xe9 is not ascii"):
        read_table(path, TextFormat(encoding="ascii"))
    with pytest.raises(ConfigError, match="unknown encoding 'latin-99'"):
        read_table(path, TextFormat(encoding="latin-99"))


def test_lines_are_counted_as_in_an_editor(tmp_path: Path) -> None:
    """Blank lines and line breaks inside quotes move the rows, not the line numbers."""
    table = read_table(file_with(tmp_path, "x.csv", b'a,b\n1,x\n\n2,"y\nz"\n3,w\n'))
    assert [table.locate(row) for row in range(3)] == ["x.csv line 2", "x.csv line 5", "x.csv line 6"]
    empty = read_table(file_with(tmp_path, "z.csv", b'a,b\n"",""\n,\n1,2\n'))
    assert [empty.locate(row) for row in range(len(empty.frame))] == ["z.csv line 4"]
    below = read_table(file_with(tmp_path, "y.csv", b"\n\na,b\n1,x\n2,y\n"))
    assert [below.locate(row) for row in range(2)] == ["y.csv line 4", "y.csv line 5"]
    kept = table.filter(table.frame["a"] != "1")
    assert kept.locate(1) == "x.csv line 6"
    table = read_table(file_with(tmp_path, "x.jsonl", b'{"a": 1}\n\n{"a": 2}\n'))
    assert [table.locate(row) for row in range(2)] == ["x.jsonl line 1", "x.jsonl line 3"]
    table = read_table(file_with(tmp_path, "x.dat", b"a::b\n1::x\n\n2::y\n"), TextFormat(separator="::"))
    assert table.frame.height == 2
    assert table.locate(1) == "x.dat line 4"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"a,b\n1,2\n1,2,3\n", r"x.csv line 3: expected 2 fields separated by ',', found 3"),
        ("x.dat", b"1::2::3\n1::2\n", r"x.dat line 2: expected 3 '::'-separated fields, found 2"),
        ("x.jsonl", b'{"a": 1}\n{"a":\n', r"x.jsonl line 2: expected one JSON object per line"),
        ("x.jsonl", b'{"a": 1}\n\n[3]\n', r"x.jsonl line 3: expected a JSON object, found a list of numbers"),
        ("x.csv", b"", r"x.csv is empty"),
        ("x.csv", b"\n\n", r"x.csv has no rows"),
        ("x.csv", b"a,b\n", r"x.csv has no rows"),
        ("x.dat", b"\n\n", r"x.dat has no rows"),
        ("x.dat", b"1::2\n\n1\n", r"x.dat line 3: expected 2 '::'-separated fields, found 1"),
        ("x.jsonl", b"\n\n", r"x.jsonl has no rows"),
        ("x.csv", b'a,b\n1,2\n\n"x\ny","4"z\n', r"x.csv line 4: the record that begins here .*inside a field"),
        ("x.csv", b'a,b\n"1\n2",x\n3,"4\n5,6\n', r"x.csv line 4: the record that begins here .*never closed"),
        ("x.csv", b'a,b\n1,x\n2,y"z\n3,w\n', r"x.csv line 3: a quote is inside a field"),
        ("x.csv", b"b,b\n1,2\n", r"x.csv line 1: two columns are called 'b'"),
        (
            "x.jsonl",
            b'\n [{"a": 1},\n{"a": 2}]\n',
            r"x.jsonl is a JSON array; expected one JSON object per line.*jq -c",
        ),
        ("x.jsonl", b'{\n"a": 1\n}\n', r"x.jsonl line 1: .*each object on one line"),
        ("x.jsonl", '{"a": 1}\n'.encode("utf-16"), r"x.jsonl is UTF-16; JSON Lines must be UTF-8"),
        ("x.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', r"x.jsonl line 2: byte 0xe9 is not UTF-8"),
        ("x.jsonl", b'{"a": 1}\n{"a": NaN}\n', r"x.jsonl line 2: .*NaN is no number of JSON"),
        ("x.jsonl", b'{"a": null}\n{"a": 1}\n{"a": [1]}\n', r"line 3: 'a' is a list of numbers here and a number in"),
        ("x.jsonl", b'{"a": {"b": 1}}\n{"a": 3}\n', r"x.jsonl line 2: 'a' is a number here and an object in line 1"),
        ("x.parquet", b"PAR1 junk", r"x.parquet is not a readable Parquet file"),
    ],
)
def test_broken_files_are_named_with_the_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    text = TextFormat(separator="::", header=False) if name.endswith("dat") else None
    with pytest.raises(DataError, match=message):
        read_table(file_with(tmp_path, name, content), text)


def test_stray_quotes_are_read_when_they_mean_nothing(tmp_path: Path) -> None:
    path = file_with(tmp_path, "x.tsv", b'a\tb\n1\t"abc\n2\tz\n')
    assert read_table(path, TextFormat(quotes=False)).frame["b"].to_list() == ['"abc', "z"]
    with pytest.raises(DataError, match=r"x.tsv"):
        read_table(path)


def test_a_missing_file_and_an_unknown_suffix_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"cannot tell the separator of x.log .*--separator"):
        read_table(file_with(tmp_path, "x.log", b"a,b\n"))


def test_parquet_rows_are_counted_from_one(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "x.parquet")
    assert read_table(tmp_path / "x.parquet").locate(0) == "x.parquet row 1"


def test_a_row_with_a_long_field_is_found(tmp_path: Path) -> None:
    path = file_with(tmp_path, "x.csv", b"a,b\n1," + b"x" * 200_000 + b"\n2,y\n")
    assert read_table(path).locate(1) == "x.csv line 3"


SWALLOWED = [
    (b'id,title\n1,"Ten\n2,Two\n3,Three"\n4,x\n', "line 2: .* the line '2,Two'"),
    (b'id,title\n1,"Ten\r\n2,Two"\r\n4,x\r\n', "line 2: .* the line '2,Two'"),
    (b'id,title,year\nx,y,1\n1,"Ten,1990\n2,Two",1991\n', "line 3: .* the line '2,Two'"),
    (b'a,id,t\nx,1,5\n"y,2,6\nx,3,7\nz",4,8\n', "line 3: .* the line 'x,3,7'"),
    (b'id,title\n"1,Ten\n2",Two\n3,x\n', "line 2: .* the line '2'"),
    (b'name,title\na,"Ten\nb,Two\nc,Three"\nd,x\n', "line 2: .* the line 'b,Two'"),
]


@pytest.mark.parametrize(("content", "message"), SWALLOWED)
def test_a_quote_that_swallows_rows_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = file_with(tmp_path, "x.csv", content)
    with pytest.raises(DataError, match=rf"x.csv {message} inside a quoted field.*--no-quotes"):
        read_table(path)
    with pytest.raises(DataError, match=r"x.csv line"):
        read_table(path, columns=["id"])
    assert len(read_table(path, TextFormat(quotes=False, header=False, separator=";")).frame) == content.count(b"\n")


@pytest.mark.parametrize(
    "content",
    [
        b'id,title\n1,"Ten, or\nmore, than, that"\n2,x\n',
        b'id,title\n1,"Ten\nred, green"\n2,x\n',
        b'id,title\n1,"Ten\nred,green"\n2,x\n',
        b'title,id\n"Ten\nmore",1\nx,2\n',
        b'title\n"Ten\nmore\nand more"\nx\n',
        b'name,title\na,"Ten\nmore, and\nmore"\nb,x\n',
        b'id,title,year\n1,"Ten\n2 x 3, 4 x 5, and so on",1990\n2,x,1991\n',
    ],
)
def test_a_text_of_several_lines_is_read(tmp_path: Path, content: bytes) -> None:
    frame = read_table(file_with(tmp_path, "x.csv", content)).frame
    assert len(frame) == 2
    assert str(frame["title"][0]).startswith("Ten")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_with(tmp_path, "x.csv", b"a,b\n1,2\n")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("llara.ingest.text_files.refuse_long_lines", refuse)
    with pytest.raises(DataError, match=r"cannot read .*x.csv: Permission denied"):
        read_table(path)
