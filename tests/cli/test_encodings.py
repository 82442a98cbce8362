"""Output is whole whatever the terminal's encoding, and foreign text does not steer the terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from llara.cli import console
from llara.cli.showing import show_recommendations
from llara.data import write_dataset
from llara.model import Recommendation
from llara.run.recommending import Ranking

EVIL = "Am\u00e9lie \u202egnp.exe\u202c\u200b\u2066 \x1b[31mred\x1b]0;owned\x07 \x9b2J"


def llara(*arguments: str | Path, encoding: str) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr, piped, as a shell with this encoding has them."""
    done = subprocess.run(
        [sys.executable, "-c", "from llara.cli import main; main()", *map(str, arguments)],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8", "cp1252:strict"])
def test_a_description_is_drawn_in_every_encoding(toy_folder: Path, encoding: str) -> None:
    code, shown, told = llara("data", "describe", toy_folder, encoding=encoding)
    assert code == 0, told
    text = shown.decode(encoding.split(":", maxsplit=1)[0])
    assert "interactions per user" in text
    assert ("\u2588" if encoding == "utf-8" else "##") in text


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_is_whole_in_every_encoding(
    tmp_path: Path, toy_items: pl.DataFrame, toy_interactions: pl.DataFrame, encoding: str
) -> None:
    name = "\u6771\u4eac Am\u00e9lie \u202e"
    folder = tmp_path / "toy"
    write_dataset(folder, interactions=toy_interactions, items=toy_items, name=name, noun="book", origin={})
    code, shown, told = llara("data", "describe", folder, "--json", encoding=encoding)
    assert code == 0, told
    assert json.loads(shown.decode(encoding))["name"] == name
    assert "\u202e".encode() not in shown
    code, _, told = llara("data", "describe", folder, encoding=f"{encoding}:strict")
    assert code == 0, told


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_message_about_foreign_text_is_told_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    log = tmp_path / "log.csv"
    log.write_text(f"user_id,item_id,timestamp,title\n1,1,\u6771\u4eac{EVIL},a\n", encoding="utf-8")
    code, shown, told = llara("data", "import", log, tmp_path / "made", encoding=encoding)
    assert (code, shown) == (2, b"")
    assert b"log.csv line 2" in told
    assert b"Traceback" not in told
    assert b"\x1b" not in told


def test_titles_reach_the_terminal_without_what_steers_it(capsys: pytest.CaptureFixture[str]) -> None:
    item = Recommendation(rank=1, item_id=1, title=EVIL, score=1.0, retrieval_rank=1)
    show_recommendations(Ranking(history=((2, EVIL),), items=(item,)))
    shown = capsys.readouterr().out
    assert shown.count("Am\u00e9lie gnp.exe") == 2
    assert not set(shown) & set("\u202e\u202c\u200b\u2066\x1b\x07\x9b")
    rows = [line for line in shown.split("\n") if line.startswith(("\u2502", "\u2503"))]
    assert len({len(line) for line in rows}) == 1  # the table is straight


def test_messages_reach_the_terminal_without_what_steers_it(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(EVIL)
    assert capsys.readouterr().err == "Am\u00e9lie gnp.exe [31mred]0;owned 2J\n"


def test_letters_of_every_script_stay_as_they_are() -> None:
    text = "\u0416 \u6771\u4eac \u05d0\u05d1 \U0001f600 e\u0301\tA\n"
    assert console.plain(text) == text
