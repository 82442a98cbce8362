"""docs/datasets.md says what is: its commands run, its counts are the files', its sources are the known ones."""

import re
import shlex
from pathlib import Path

import pytest

from llara.ingest.sources import SOURCES
from llara.leakage.finding import LEAK_NAMES, WARNING_NAMES
from tests.pipeline.conftest import llara

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("llara ")
]
REAL = [words for words in COMMANDS if any(word.startswith("../shared/data") for word in words)]
COUNTS = {
    "ml-100k": (943, 1_682, 100_000),
    "ml-100k-recbole": (943, 1_682, 100_000),
    "llara-movielens": (943, 1_682, 70_465),
    "ml-1m": (6_040, 3_883, 988_555),
    "lastfm-hetrec": (1_891, 12_133, 70_296),
    "lastfm-chronological": (1_219, 4_560, 56_656),
    "llara-lastfm": (1_220, 4_606, 52_925),
    "llara-steam": (3_388, 3_581, 33_461),
    "beauty": (22_363, 12_101, 198_502),
    "games": (50_546, 16_859, 440_264),
    "goodreads": (7_263, 4_058, 79_871),
}


@pytest.mark.parametrize("words", REAL, ids=[words[4] for words in REAL])
def test_each_real_data_set_is_made_with_the_counts_of_the_page(
    real_data: Path, tmp_path: Path, words: list[str]
) -> None:
    name = words[4].removeprefix("data/")
    arguments = [word.replace("../shared/data", str(real_data)) for word in words[1:]]
    arguments[3] = str(tmp_path / name)
    made = llara(*arguments, "--json").json()
    users, items, interactions = COUNTS[name]
    assert (made["num_users"], made["num_items"], made["num_interactions"]) == (users, items, interactions)
    row = re.compile(rf"\| [^|]+ \| {users:,} \| {items:,} \| ({interactions:,}|[0-9,]+ \+ [0-9,]+ \+ [0-9,]+ rows) \|")
    assert row.search(PAGE), f"the table lacks {users:,} / {items:,} / {interactions:,}"


def test_every_real_command_has_its_counts() -> None:
    assert {words[4].removeprefix("data/") for words in REAL} == set(COUNTS)


def test_the_other_commands_are_those_that_other_tests_run() -> None:
    others = [" ".join(words[1:3]) for words in COMMANDS if words not in REAL]
    assert others == ["data import", "data fetch", "data fetch", "data import", "data check"]


def test_every_source_and_every_check_is_on_the_page() -> None:
    for name in SOURCES:
        known = name in PAGE or f"`-{name.removeprefix('movielens-')}`" in PAGE
        assert known, name
    for name in (*LEAK_NAMES, *WARNING_NAMES):
        assert f"| `{name}` |" in PAGE


def test_files_that_the_page_links_to_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", PAGE) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
