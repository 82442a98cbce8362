"""What reading costs is bounded by what is read: many columns, odd line ends and packed files that swell."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llara.errors import DataError
from llara.ingest import LogColumns, TextFormat, import_log, read_table
from llara.ingest.text_files import MOST_COLUMNS

_MEASURE = """
import resource, sys, time
from pathlib import Path
from llara.errors import LlaraError
from llara.ingest import import_log, read_table
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    exec(sys.argv[1])
except LlaraError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, time.process_time() - start)
"""
_MEMORY_MIB = 300
_SECONDS = 5.0


def cost_of(code: str) -> tuple[float, float, str]:
    """Peak memory in MiB above that of the imports, seconds of processor time, and what was printed, in a process."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, code], capture_output=True, text=True, timeout=120, check=True
    )
    *printed, last = done.stdout.strip().split("\n")
    memory, seconds = map(float, last.split())
    return memory, seconds, "\n".join(printed)


def wide(path: Path, num_columns: int, num_rows: int = 2) -> Path:
    names = ["user_id", "item_id", "timestamp", "title", *(f"c{place}" for place in range(num_columns - 4))]
    rows = [[str(row), str(row), "1700000000", f"t{row}", *["1"] * (num_columns - 4)] for row in range(num_rows)]
    path.write_text("\n".join(",".join(fields) for fields in (names, *rows)) + "\n")
    return path


def test_two_rows_of_two_thousand_columns_cost_next_to_nothing(tmp_path: Path) -> None:
    path = wide(tmp_path / "wide.csv", 2_000)
    memory, seconds, printed = cost_of(f"print(read_table(Path({str(path)!r})).frame.shape)")
    assert printed == "(2, 2000)"
    assert memory < _MEMORY_MIB  # 6,300 where the filter of blank rows moves into the parser
    assert seconds < _SECONDS


def test_a_log_and_a_catalog_of_two_thousand_columns_are_imported_as_cheaply(tmp_path: Path) -> None:
    path = str(wide(tmp_path / "wide.csv", 2_000))
    code = f"print(import_log(Path({path!r}), Path({str(tmp_path / 'out')!r}), items=Path({path!r})).num_items)"
    memory, seconds, printed = cost_of(code)
    assert printed == "2"
    assert memory < _MEMORY_MIB
    assert seconds < 2 * _SECONDS


def test_json_of_two_thousand_fields_costs_as_little(tmp_path: Path) -> None:
    path = tmp_path / "wide.jsonl"
    path.write_text(json.dumps({f"c{place}": place for place in range(2_000)}) + "\n")
    memory, seconds, printed = cost_of(f"print(read_table(Path({str(path)!r})).frame.shape)")
    assert printed == "(1, 2000)"
    assert memory < _MEMORY_MIB
    assert seconds < _SECONDS  # 6 s where the schema is made anew for each field


def test_carriage_returns_alone_are_told_before_they_become_columns(tmp_path: Path) -> None:
    path = tmp_path / "mac.csv"
    path.write_bytes(b"user_id,item_id,timestamp\r" + b"".join(b"1,2,%d\r" % row for row in range(1_100)))
    memory, seconds, printed = cost_of(f"read_table(Path({str(path)!r}))")
    assert "carriage returns" in printed
    assert memory < _MEMORY_MIB  # 4,700
    assert seconds < _SECONDS


@pytest.mark.parametrize("text", [TextFormat(), TextFormat(separator="::"), TextFormat(header=False)])
def test_more_columns_than_any_table_has_are_refused(tmp_path: Path, text: TextFormat) -> None:
    separator = text.separator or ","
    path = tmp_path / "wide.csv"
    path.write_text(f"\n{separator.join('1' * (MOST_COLUMNS + 1))}\n")
    with pytest.raises(DataError, match="first line has 10,001 columns; at most 10,000 are read"):
        read_table(path, text)


def test_separators_inside_quotes_are_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(f'1,"{"," * (MOST_COLUMNS + 1)}"\n')
    assert read_table(path, TextFormat(header=False)).frame.width == 2


def test_a_missing_column_among_thousands_is_told_in_a_line(tmp_path: Path) -> None:
    path = wide(tmp_path / "wide.csv", 2_000)
    with pytest.raises(DataError, match=r"no column 'when'; found 'user_id'.*and 1,9\d\d more") as told:
        import_log(path, tmp_path / "out", columns=LogColumns(time="when"))
    assert len(str(told.value)) < 500
