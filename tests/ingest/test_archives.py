"""Packed files and lines that are no lines."""

import gzip
import resource
import signal
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llara.data.tables import FREE_BYTES, MOST_RATIO
from llara.errors import DataError
from llara.ingest import TextFormat, read_table
from llara.ingest.archives import LONGEST_LINE, extract, unpacked
from llara.ingest.sources.python_literals import is_json_lines

LATIN1 = TextFormat(encoding="latin-1")
CONTENT = b'a,b\n1,"x\ny"\n\n2,z\n'


def packed(tmp_path: Path, kind: str) -> Path:
    if kind == "gz":
        path = tmp_path / "x.csv.gz"
        path.write_bytes(gzip.compress(CONTENT))
        return path
    path = tmp_path / "x.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("folder")
        archive.writestr("folder/inner.csv", CONTENT)
    return path


@pytest.mark.parametrize("kind", ["gz", "zip"])
def test_packed_files_read_like_plain_ones_with_the_same_lines(tmp_path: Path, kind: str) -> None:
    table = read_table(packed(tmp_path, kind))
    assert table.frame.rows() == [("1", "x\ny"), ("2", "z")]
    assert table.locate(1) == f"x.csv.{kind} line 5"


def test_packed_json_and_parquet_read_too(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n\n{"a": 2}\n'))
    table = read_table(tmp_path / "x.jsonl.gz")
    assert (table.frame["a"].to_list(), table.locate(1)) == ([1, 2], "x.jsonl.gz line 3")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "x.parquet")
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress((tmp_path / "x.parquet").read_bytes()))
    assert read_table(tmp_path / "x.parquet.gz").frame["a"].to_list() == [1]


def test_a_cut_or_false_archive_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path, "gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"x.csv.gz is damaged or cut short .* Is the download complete"):
        read_table(path)
    path.write_bytes(CONTENT)
    with pytest.raises(DataError, match=r"x.csv.gz is damaged or cut short"):
        read_table(path)
    path = packed(tmp_path, "zip")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"x.csv.zip is damaged or cut short"):
        read_table(path)


def test_an_archive_of_several_files_names_them(tmp_path: Path) -> None:
    path = packed(tmp_path, "zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("second.csv", CONTENT)
    with pytest.raises(DataError, match=r"holds 2 files \(folder/inner.csv, second.csv\); one was expected"):
        read_table(path)


@pytest.mark.parametrize(("suffix", "head"), [("csv", b"a,b\n1,2\n"), ("jsonl", b'{"a": 1}\n{"a": 2}\n')])
def test_a_line_of_a_hundred_megabytes_is_named_and_not_read(tmp_path: Path, suffix: str, head: bytes) -> None:
    path = tmp_path / f"x.{suffix}"
    with path.open("wb") as file:
        file.write(head)
        file.seek(100 * 2**20)
        file.write(b"1\n3,4\n")
    with pytest.raises(DataError, match=rf"x.{suffix} line 3: the line is longer than 16 MiB"):
        read_table(path)


@pytest.mark.parametrize("extra", [0, 1])
def test_the_longest_line_is_allowed_and_one_byte_more_is_not(tmp_path: Path, extra: int) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" * 5 + b"x" * (LONGEST_LINE + extra) + b"\n1\n")
    if extra:
        with pytest.raises(DataError, match=r"x.csv line 6: the line is longer"):
            read_table(path)
    else:
        assert read_table(path).frame["a"].str.len_bytes().max() == LONGEST_LINE


def test_a_long_last_line_without_a_break_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" + b"x" * (2 * LONGEST_LINE + 5))
    with pytest.raises(DataError, match=r"x.csv line 2: the line is longer"):
        read_table(path)


def test_what_macos_packs_beside_a_file_is_no_file(tmp_path: Path) -> None:
    path = packed(tmp_path, "zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/folder/._inner.csv", b"junk")
    assert len(read_table(path).frame) == 2


def test_a_compression_that_is_not_known_here_is_told(tmp_path: Path) -> None:
    path = packed(tmp_path, "zip")
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 10 : place + 12] = (97).to_bytes(2, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"cannot be unpacked here .*Unpack it yourself"):
        read_table(path)


@contextmanager
def a_disk_of(limit: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kind", ["gz", "zip", "member", "latin-1", "marked jsonl"])
def test_a_disk_that_is_full_while_a_copy_is_made_is_told(tmp_path: Path, kind: str) -> None:
    content = b"a,b\n" + b"1,2\n" * 100_000
    path = tmp_path / ("x.csv.gz" if kind == "gz" else "x.csv" if kind == "latin-1" else "x.csv.zip")
    if kind == "gz":
        path.write_bytes(gzip.compress(content))
    elif kind == "latin-1":
        path.write_bytes(content)
    elif kind == "marked jsonl":
        path = tmp_path / "x.jsonl"
        path.write_bytes(b"\xef\xbb\xbf" + b'{"a": 1}\n' * 40_000)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.csv", content)
    read = partial(extract, path, "x.csv", tmp_path) if kind == "member" else partial(read_table, path, LATIN1)
    with a_disk_of(100_000), pytest.raises(DataError, match=rf"{path.name} in /.*: File too large.*TMPDIR"):
        read()


def test_a_machine_without_a_temporary_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"cannot make a temporary folder .*TMPDIR"):
        read_table(packed(tmp_path, "gz"))


def bomb(path: Path, size: int, packed_size: int = 0) -> Path:
    """A packed file of `size` equal bytes, after content that cannot be packed."""
    block = b"1,1\n" * 2**18
    head = np.random.default_rng(0).bytes(packed_size)
    if path.suffix == ".gz":
        with gzip.open(path, "wb") as file:
            file.write(head)
            for _ in range(size // len(block)):
                file.write(block)
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.csv", "w") as file:
        file.write(head)
        for _ in range(size // len(block)):
            file.write(block)
    return path


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zip"])
def test_a_file_that_swells_is_refused_before_it_fills_the_disk(tmp_path: Path, name: str) -> None:
    path = bomb(tmp_path / name, 2 * FREE_BYTES)
    with a_disk_of(FREE_BYTES + 2**20), pytest.raises(DataError, match=r"at most 200 times.*unpack it yourself"):
        read_table(path)


def test_a_zip_that_lies_about_its_size_unpacks_no_more_than_it_says(tmp_path: Path) -> None:
    path = bomb(tmp_path / "x.csv.zip", 2 * FREE_BYTES, packed_size=12_345)
    content = path.read_bytes()
    size = (2 * FREE_BYTES + 12_345).to_bytes(4, "little")
    assert size in content
    path.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    with a_disk_of(FREE_BYTES + 2**20), pytest.raises(DataError, match="damaged"):
        read_table(path)


def test_a_gzip_that_never_ends_is_left_where_it_swells(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    member = gzip.compress(b"1,1\n" * 2**20)
    path.write_bytes(member * 700)  # 2.9 MB of 2.9 GB
    with a_disk_of(2**30), pytest.raises(DataError, match="unpacks to more than"):
        read_table(path)


def test_a_member_of_a_publishers_zip_is_limited_too(tmp_path: Path) -> None:
    path = bomb(tmp_path / "x.zip", 2 * FREE_BYTES)
    with a_disk_of(FREE_BYTES), pytest.raises(DataError, match="unpack it yourself"):
        extract(path, "x.csv", tmp_path)


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zip"])
def test_sparse_tables_at_a_hundredth_of_their_size_are_read(tmp_path: Path, name: str) -> None:
    path = bomb(tmp_path / name, FREE_BYTES + 2**24, packed_size=5 * 10**5)
    with unpacked(path) as plain:
        assert 100 < plain.stat().st_size / path.stat().st_size < MOST_RATIO


def test_a_parquet_file_of_billions_of_equal_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": np.zeros(20_000_000, np.int64)}).write_parquet(path)
    with pytest.raises(DataError, match=r"20,000,000 rows of 1 columns in .* write it anew as CSV"):
        read_table(path)


def test_blank_lines_without_end_are_not_read_to_see_how_a_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b"\n" * 2**24) * 500)
    assert not is_json_lines(path)
    path.write_bytes(gzip.compress(b'\n \n{"a": 1}\n'))
    assert is_json_lines(path)
