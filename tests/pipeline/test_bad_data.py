"""Awkward and broken files through `llara data import`: read as meant, or refused with file, row and remedy."""

import gzip
import json
import os
import pty
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.conftest import Outcome, llara

LOG = "user_id,item_id,timestamp\n1,10,5\n2,11,6\n1,11,7\n"
ITEMS = "item_id,title\n10,Ten\n11,Eleven\n"


def imported(
    folder: Path, log: str | bytes, *options: str | Path, items: str | bytes = ITEMS, name: str = "log.csv"
) -> Outcome:
    (folder / name).write_bytes(log.encode() if isinstance(log, str) else log)
    (folder / "items.csv").write_bytes(items.encode() if isinstance(items, str) else items)
    return llara("data", "import", folder / name, folder / "made", "--items", folder / "items.csv", *options)


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "made" in path.name]


@pytest.mark.parametrize(
    ("log", "options", "items"),
    [
        (LOG.encode("utf-8-sig"), (), ITEMS.encode("utf-8-sig")),
        (LOG.replace("\n", "\r\n"), (), ITEMS.replace("\n", "\r\n")),
        (LOG, ("--encoding", "latin-1"), ITEMS.replace("Ten", "Amélie").encode("latin-1")),
        (LOG.encode("utf-16"), ("--encoding", "utf-16"), ITEMS.encode("utf-16")),
        (LOG, (), ITEMS.replace("Ten", '"Ten, ""the"" number;\n with a break"')),
        (LOG.replace(",", "|"), ("--separator", "|"), ITEMS.replace(",", "|").replace("Ten", "a,b;c::d")),
        (LOG.replace(",", "::"), ("--separator", "::"), ITEMS.replace(",", "::").replace("Ten", 'say "hi|')),
        (
            LOG.replace(",5", ",1970-01-01T00:00:05Z")
            .replace(",6", ",1970-01-01T00:00:06")
            .replace(",7", ",1970-01-01T02:00:07+02:00"),
            (),
            ITEMS,
        ),
        (LOG.replace("\n2", "\n\n\n2"), (), ITEMS + "\n\n"),
        (LOG.replace("1,10", ' "1" , 10').replace(' "1" ', '"1"'), (), ITEMS),
    ],
)
def test_awkward_but_clear_files_are_read(
    tmp_path: Path, log: str | bytes, options: tuple[str, ...], items: str | bytes
) -> None:
    done = imported(tmp_path, log, *options, items=items)
    assert done.code == 0, done.err
    frame = pl.read_parquet(tmp_path / "made" / "interactions.parquet")
    assert frame.rows() == [(1, 10, 5), (2, 11, 6), (1, 11, 7)]
    assert len(pl.read_parquet(tmp_path / "made" / "items.parquet")) == 2


REFUSED: list[tuple[str | bytes, tuple[str, ...], tuple[str, ...]]] = [
    (LOG.replace("\n2,", "\n2.0,"), (), ("log.csv line 3", "'2.0' is a decimal number", "Mend or drop")),
    (LOG.replace(",6", ",nan"), (), ("log.csv line 3", "'nan'", "neither a number nor an ISO 8601 date")),
    (LOG.replace(",6", ",-6"), (), ("log.csv line 3", "'-6'", "is before 1970")),
    (LOG.replace(",6", ","), (), ("log.csv line 3", "timestamp None")),
    (LOG.replace(",6", ",1e400"), (), ("log.csv line 3", "'1e400'")),
    ("", (), ("log.csv is empty", "download complete")),
    ("\n\n", (), ("log.csv has no rows", "complete?")),
    ("user_id,item_id,timestamp\n", (), ("log.csv has no rows", "complete?")),
    (LOG.replace("2,11", "2,é11").encode("latin-1"), (), ("log.csv line 3", "byte 0xe9", "--encoding latin-1")),
    (LOG.encode("utf-16"), (), ("log.csv is UTF-16", "--encoding utf-16")),
    (LOG.replace("2,11", '2,"11'), (), ("log.csv",)),
    (LOG.replace("2,11,6", "2,11,6,9"), (), ("log.csv line 3", "expected 3 fields", "found 4")),
    (LOG.replace("2,11", "2,12"), (), ("log.csv line 3", "item 12 is not in the items", "--drop-unknown-items")),
    (LOG.replace("2,11", ",11"), (), ("log.csv line 3", "user_id is missing")),
    (LOG.replace("2,11,6", "2,11"), (), ("log.csv line 3", "expected 3 fields", "found 2", "complete")),
    (LOG.replace("\n2,", '\n"2,').replace("\n1,11", '\n1",11'), (), ("log.csv line 3", "a row of its own", "quote")),
    (LOG, ("--encoding", "utf-16"), ("log.csv is not utf-16", "--encoding")),
    (LOG, ("--separator", "§"), ("has no column",)),
    (LOG, ("--ties", "shuffle", "--seed", "-1"), ("--seed must be at least 0",)),
    (LOG, ("--time", "when"), ("no column 'when'", "found 'user_id'", "--time")),
    (LOG, ("--time-unit", "minutes"), ("--time-unit", "'minutes'", "not one of")),
    (LOG, ("--core", "9"), ("no interaction is left by --core 9",)),
    (LOG, ("--min-rating", "3"), ("--min-rating needs a rating column",)),
    (LOG, ("--ties", "none"), ("--ties", "'none'", "not one of")),
    (LOG, ("--noun", "film"), ("'film' is not one of", "'game'")),
    (LOG.replace(",6", ",2020-01-01"), (), ("log.csv line 3", "'2020-01-01' is a date", "'5' in log.csv line 2")),
    (LOG.replace(",6", ",1600000000000"), (), ("log.csv line 3", "far in the future as seconds")),
    (LOG.replace(",5", ",20200105").replace(",6", ",20200106").replace(",7", ",20200107"), (), ("--time-unit date",)),
    (LOG.replace("1,10", "Ann,10").replace("2,11", "Ann ,11"), (), ("log.csv line 3", "'Ann '", "white space")),
    (LOG, ("--time", "none", "--time-unit", "ms"), ("--time-unit ms", "--time none")),
    (LOG, ("--split", "rows"), ("--split rows needs released rows",)),
    (LOG, ("--time", "none", "--split", "time"), ("--split time needs real times",)),
    (LOG, ("--time-unit", "order", "--split", "time"), ("--split time needs real times",)),
    (LOG, ("--separator", "::"), ("has no column", "If the separator is ','")),
    (LOG.replace(",", ";"), (), ("has no column", "pass --separator ';'")),
    (LOG.replace("\n", "\r"), (), ("carriage returns", "convert it")),
    (LOG.replace("timestamp\n", "item_id\n"), (), ("log.csv line 1", "two columns are called 'item_id'", "Rename")),
    (LOG.replace("2,11", '2,"11"x'), (), ("log.csv line 3", "begins here is malformed", "--no-quotes")),
    (LOG.encode("utf-8-sig"), ("--encoding", "latin-1"), ("log.csv is UTF-8, not latin-1", "Leave out --encoding")),
    (
        LOG.replace(",", "::").replace("timestamp", "item_id"),
        ("--separator", "::"),
        ("line 1: two columns are called",),
    ),
    (LOG, ("--encoding", "latin-77"), ("unknown encoding 'latin-77'",)),
    (LOG, ("--source", "movielens-100"), ("unknown source 'movielens-100'", "Did you mean 'movielens-100k'")),
]


@pytest.mark.parametrize(("log", "options", "parts"), REFUSED)
def test_broken_files_are_refused_with_row_and_remedy(
    tmp_path: Path, log: str | bytes, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    if "--source" in options:
        (tmp_path / "log.csv").write_bytes(LOG.encode())
        done = llara("data", "import", tmp_path / "log.csv", tmp_path / "made", *options)
    else:
        done = imported(tmp_path, log, *options)
    message = done.refused()
    for part in parts:
        assert part in message
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("separator", ["\\t", "tab", "\t"])
def test_a_tab_can_be_given_as_messages_write_it(tmp_path: Path, separator: str) -> None:
    done = imported(tmp_path, LOG.replace(",", "\t"), "--separator", separator, items=ITEMS.replace(",", "\t"))
    assert done.code == 0, done.err


def test_whole_numbers_of_a_text_catalog_are_numbers_to_the_leak_checks(tmp_path: Path) -> None:
    items = "item_id,title,plays,code,year\n10,Ten,3,007,1990\n11,Eleven,0,12,\n"
    assert imported(tmp_path, LOG, items=items).code == 0
    schema = pl.read_parquet_schema(tmp_path / "made" / "items.parquet")
    assert [str(schema[name]) for name in ("plays", "code", "year")] == ["Int64", "String", "Int64"]


def test_histories_end_before_the_gap_also_among_equal_times(tmp_path: Path) -> None:
    log = "user_id,item_id,timestamp\n1,10,5\n1,,5\n1,11,5\n2,11,6\n"
    assert imported(tmp_path, log, "--missing-items", "cut").code == 0
    assert pl.read_parquet(tmp_path / "made" / "interactions.parquet").rows() == [(1, 10, 5), (2, 11, 6)]


@pytest.mark.parametrize(
    "columns", [{"title": [["a"], ["b"]]}, {"title": [b"a", b"b"]}, {"title": [{"a": 1}, {"a": 2}]}]
)
def test_titles_that_are_no_texts_are_refused(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    (tmp_path / "log.csv").write_text(LOG)
    pl.DataFrame({"item_id": [10, 11], **columns}).write_parquet(tmp_path / "items.parquet")
    message = llara(
        "data", "import", tmp_path / "log.csv", tmp_path / "made", "--items", tmp_path / "items.parquet"
    ).refused()
    assert "items.parquet: column 'title' is" in message
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("items", "parts"),
    [
        (ITEMS + "10,Again\n", ("items.csv line 4", "item_id 10 appears again", "first at items.csv line 2")),
        (ITEMS.replace("Ten", " "), ("items.csv line 2", "title is empty or missing")),
        (ITEMS.replace("item_id", "id"), ("items.csv has no column 'item_id'", "--items-item")),
        ("item_id,title\n", ("items.csv has no rows",)),
    ],
)
def test_a_broken_catalog_is_refused(tmp_path: Path, items: str, parts: tuple[str, ...]) -> None:
    message = imported(tmp_path, LOG, items=items).refused()
    for part in parts:
        assert part in message
    assert left_behind(tmp_path) == []


def test_identifiers_that_are_numbers_in_one_line_and_texts_in_another(tmp_path: Path) -> None:
    lines = [{"user_id": 1, "item_id": 10, "timestamp": 5}, {"user_id": "1", "item_id": 11, "timestamp": 6}]
    log = "".join(json.dumps(line) + "\n" for line in lines)
    message = imported(tmp_path, log, name="log.jsonl").refused()
    assert "log.jsonl line 2: 'user_id' is a text here and a number in line 1" in message
    assert left_behind(tmp_path) == []


def test_the_same_word_in_a_nested_object_is_no_mixed_identifier(tmp_path: Path) -> None:
    lines = [{"user_id": "7", "item_id": 10, "timestamp": 5, "more": {"user_id": 3}}] * 2
    log = "".join(json.dumps(line) + "\n" for line in lines)
    assert imported(tmp_path, log, name="log.jsonl").code == 0


def test_milliseconds_are_told_and_taken_when_told(tmp_path: Path) -> None:
    log = LOG.replace(",5", ",1600000000000").replace(",6", ",1600000001000").replace(",7", ",1600000002999")
    message = imported(tmp_path, log).refused()
    for part in ("log.csv", "1600000000000", "2020-09-13 in ms", "--time-unit ms", "--time-unit s"):
        assert part in message
    assert left_behind(tmp_path) == []
    assert imported(tmp_path, log, "--time-unit", "ms").code == 0
    times = pl.read_parquet(tmp_path / "made" / "interactions.parquet")["timestamp"]
    assert times.to_list() == [1_600_000_000, 1_600_000_001, 1_600_000_002]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_milliseconds_are_asked_about_at_a_terminal(tmp_path: Path, answer: str, code: int) -> None:
    (tmp_path / "log.csv").write_text(
        LOG.replace(",5", ",1600000000000").replace(",6", ",1600000000000").replace(",7", ",1600000009000")
    )
    (tmp_path / "items.csv").write_text(ITEMS)
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-c", "from llara.cli import main; main()", "data", "import", "log.csv", "made"]
    process = subprocess.Popen(
        [*command, "--items", "items.csv"], cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(terminal, answer.encode())
    _, shown = process.communicate(timeout=60)
    os.close(terminal)
    os.close(theirs)
    assert process.returncode == code, shown
    assert b"Take them as ms?" in shown
    assert (tmp_path / "made").exists() == (code == 0)


def test_archives_are_read_or_refused(tmp_path: Path) -> None:
    assert imported(tmp_path, gzip.compress(LOG.encode()), name="log.csv.gz").code == 0
    made = (tmp_path / "made" / "interactions.parquet").read_bytes()
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.writestr("log.csv", LOG)
    again = llara(
        "data", "import", tmp_path / "log.zip", tmp_path / "two", "--items", tmp_path / "items.csv", "--separator", ","
    )
    assert again.code == 0, again.err
    assert (tmp_path / "two" / "interactions.parquet").read_bytes() == made
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(LOG.encode() * 1000)[:-20])
    message = llara("data", "import", cut, tmp_path / "three", "--items", tmp_path / "items.csv").refused()
    assert "cut.csv.gz is damaged or cut short" in message
    assert not (tmp_path / "three").exists()


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    pl.read_csv(LOG.encode()).write_parquet(tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    message = imported(tmp_path, whole[: len(whole) // 2], name="log.parquet").refused()
    assert "log.parquet is not a readable Parquet file" in message
    assert "Is it complete?" in message
    assert left_behind(tmp_path) == []


def test_a_line_of_a_hundred_megabytes_is_refused(tmp_path: Path) -> None:
    message = imported(tmp_path, LOG.encode() + b'1,10,"' + b"9" * (100 * 2**20) + b"\n1,10,5\n").refused()
    assert "log.csv line 5: the line is longer than 16 MiB" in message
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--source", "recbole", "--user", "u"), ("--user would not be used", "--source")),
        (("--source", "recbole", "--items", "x.csv", "--time-unit", "ms"), ("--items, --time-unit would not be used",)),
        (("--rows", "--items", "x.csv"), ("--rows is no option", "llara data import-rows PATH OUTPUT --items ITEMS")),
        (("--items-separator=;",), ("--items-separator is no option", "--items-format separator=VALUE")),
        (("--items-format", "separater=;"), ("--items-format separater=;: expected separator=;, encoding=latin-1",)),
        (("--items-format", "header=maybe"), ("header=maybe: expected",)),
        (("--category", "Beauty"), ("--category would not be used",)),
        (("--padding", "0"), ("--padding is no option", "llara data import-rows")),
        (("--seed", "3"), ("--seed is the seed of --ties shuffle",)),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    tmp_path: Path, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    message = llara("data", "import", tmp_path / "log.csv", tmp_path / "made", *options).refused()
    for part in parts:
        assert part in message


IDS = st.one_of(
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=8, unique=True),
    st.lists(st.text("aB7é_-", min_size=1, max_size=5), min_size=1, max_size=8, unique=True),
)
TITLES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), users=IDS, items=IDS, suffix=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_import_export_import_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, users: list[int | str], items: list[int | str],
    suffix: str,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("round")
    event = st.tuples(st.sampled_from(users), st.sampled_from(items), st.integers(0, 2**33), st.floats(-5, 5))
    events = data.draw(st.lists(event, min_size=1, max_size=20))
    titles = data.draw(st.lists(TITLES, min_size=len(items), max_size=len(items)))
    log = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp", "rating"], orient="row")
    catalog = pl.DataFrame({"item_id": items, "title": titles})
    write, name = _writer(suffix)
    write(log, folder / f"log.{name}")
    write(catalog, folder / f"items.{name}")
    options = ("--time-unit", "s", "--name", "x")
    first = llara("data", "import", folder / f"log.{name}", folder / "a", "--items", folder / f"items.{name}", *options)
    assert first.code == 0, first.err
    for part in ("interactions", "items"):
        write(pl.read_parquet(folder / "a" / f"{part}.parquet"), folder / f"again-{part}.{name}")
    again = llara(
        "data", "import", folder / f"again-interactions.{name}", folder / "b", "--items",
        folder / f"again-items.{name}", *options,
    )  # fmt: skip
    assert again.code == 0, again.err
    for part in ("interactions", "items"):
        assert (folder / "a" / f"{part}.parquet").read_bytes() == (folder / "b" / f"{part}.parquet").read_bytes()


def _writer(suffix: str) -> tuple[Callable[[pl.DataFrame, Path], None], str]:
    if suffix == "jsonl":
        return lambda frame, path: frame.write_ndjson(path), suffix
    if suffix == "parquet":
        return lambda frame, path: frame.write_parquet(path), suffix
    separator = "," if suffix == "csv" else "\t"
    return lambda frame, path: frame.write_csv(path, separator=separator, quote_style="always"), suffix


def test_how_a_data_set_is_meant_to_be_split_is_recorded_and_used(tmp_path: Path) -> None:
    from llara.run.config import load_config

    meant = ("--split", "leave-one-out", "--history-length", "50", "--min-history", "2")
    assert imported(tmp_path, LOG, *meant).code == 0
    recorded = json.loads((tmp_path / "made" / "dataset.json").read_text())["split"]
    assert recorded == {"method": "leave-one-out", "history_length": 50, "min_history": 2}
    config = tmp_path / "run.yaml"
    config.write_text(f"output: x\ndata: {{folder: {tmp_path / 'made'}}}\n")
    split = load_config(config).data.split
    assert (split.method, split.history_length, split.min_history) == ("leave-one-out", 50, 2)
    split = load_config(config, ["data.split.history_length=20"]).data.split
    assert (split.method, split.history_length, split.min_history) == ("leave-one-out", 20, 2)
    (tmp_path / "made" / "dataset.json").unlink()
    assert load_config(config).data.split.history_length == 10


def test_a_split_that_there_is_not_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    message = imported(tmp_path, "", "--history-length", "5", "--min-history", "6").refused()
    assert "min_history must be in [0, history_length = 5]" in message
    assert "not one of" in imported(tmp_path, LOG, "--split", "random").refused()


def test_released_rows_are_meant_to_be_split_by_them(tmp_path: Path) -> None:
    rows = [{"split": part, "history": [10], "target": 11} for part in ("train", "val", "test")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "items.csv").write_text(ITEMS)
    done = llara("data", "import-rows", tmp_path / "rows.jsonl", tmp_path / "made", "--items", tmp_path / "items.csv")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "made" / "dataset.json").read_text())["split"] == {"method": "rows"}


def test_a_folder_from_before_splits_were_recorded_is_still_read(tmp_path: Path) -> None:
    from llara.data import load_dataset

    assert imported(tmp_path, LOG).code == 0
    path = tmp_path / "made" / "dataset.json"
    content = json.loads(path.read_text())
    del content["split"]
    path.write_text(json.dumps(content))
    assert load_dataset(tmp_path / "made").info.split == {}


@pytest.mark.parametrize(("key", "value"), [("split", []), ("split", None), ("origin", [])])
def test_a_damaged_record_of_the_folder_is_told(tmp_path: Path, key: str, value: object) -> None:
    assert imported(tmp_path, LOG).code == 0
    path = tmp_path / "made" / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    outcome = llara("data", "check", tmp_path / "made")
    assert (outcome.code, "Traceback" in outcome.err) == (2, False)
    assert f"'{key}' is" in outcome.out


@pytest.mark.parametrize(
    "row",
    [
        {"split": "train", "history": [["a"]], "target": 10},
        {"split": "train", "history": [None, 10], "target": 11},
        {"split": "train", "history": ["ten"], "target": 11},
    ],
)
def test_rows_of_another_kind_are_told(tmp_path: Path, row: dict[str, object]) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "items.csv").write_text(ITEMS)
    done = llara("data", "import-rows", tmp_path / "rows.jsonl", tmp_path / "made", "--items", tmp_path / "items.csv")
    assert "rows.jsonl" in done.refused()
    assert left_behind(tmp_path) == []


def test_the_items_file_may_be_written_otherwise_than_the_log(tmp_path: Path) -> None:
    items = '10;Zehn\n11;Fünf "Elf\n'.encode("latin-1")
    options = [
        part
        for said in ("separator=;", "encoding=latin-1", "header=no", "quotes=no")
        for part in ("--items-format", said)
    ]
    done = imported(tmp_path, LOG, *options, "--items-item", "1", "--title", "2", items=items)
    assert done.code == 0, done.err
    titles = pl.read_parquet(tmp_path / "made" / "items.parquet")["title"].to_list()
    assert titles == ["Zehn", 'Fünf "Elf']


@pytest.mark.parametrize("options", [("--separator", ";"), ("--no-quotes",), ("--items-format", "encoding=latin-1")])
def test_options_about_text_are_refused_where_no_text_is_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    log = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [5, 6], "title": ["A", "B"]})
    log.write_parquet(tmp_path / "log.parquet")
    done = llara("data", "import", tmp_path / "log.parquet", tmp_path / "made", *options)
    assert f"{options[0]} would not be used: it is about separated text" in done.refused()


def test_a_column_called_rating_that_is_none_can_be_left_alone(tmp_path: Path) -> None:
    log = LOG.replace("timestamp\n", "timestamp,rating\n").replace(",5\n", ",5,PG\n").replace(",6\n", ",6,G\n")
    log = log.replace(",7\n", ",7,R\n")
    assert "rating 'PG' is not a number" in imported(tmp_path, log).refused()
    assert imported(tmp_path, log, "--rating", "none").code == 0
    assert pl.read_parquet(tmp_path / "made" / "interactions.parquet").columns == ["user_id", "item_id", "timestamp"]


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_items_are_missing_items(tmp_path: Path, blank: str) -> None:
    log = "user_id,item_id,timestamp,title\n1,a,5,A\n1," + blank + ",6,?\n2,b,7,B\n"
    (tmp_path / "log.csv").write_text(log)
    done = llara("data", "import", tmp_path / "log.csv", tmp_path / "made", "--missing-items", "drop")
    assert done.code == 0, done.err
    assert "Left out: 1 rows at missing items" in done.err
    assert pl.read_parquet(tmp_path / "made" / "items.parquet")["title"].to_list() == ["A", "B"]


def test_other_titles_of_an_item_are_counted(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,title\n1,a,5,A\n1,a,6,A (1995)\n2,a,7,A\n")
    done = llara("data", "import", tmp_path / "log.csv", tmp_path / "made")
    assert "Left out: 1 other titles of items" in done.err


@pytest.mark.parametrize(
    ("unit", "first", "second"),
    [(("--time-unit", "ms"), "1600000000900", "1600000000100"), ((), "1600000000.9", "1600000000.1"),
     ((), "2020-09-13T12:26:40.9Z", "2020-09-13T12:26:40.1Z")],
)  # fmt: skip
def test_the_order_within_a_second_is_kept(tmp_path: Path, unit: tuple[str, ...], first: str, second: str) -> None:
    log = f"user_id,item_id,timestamp\n1,10,{first}\n1,11,{second}\n"
    assert imported(tmp_path, log, *unit).code == 0
    frame = pl.read_parquet(tmp_path / "made" / "interactions.parquet")
    assert frame["item_id"].to_list() == [11, 10]
    assert frame["timestamp"].to_list() == [1_600_000_000] * 2
