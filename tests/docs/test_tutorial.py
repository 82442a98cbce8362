"""The tutorial works as it is written, from its CSV files to the engine's answer."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.walking import ROOT, blocks_of, commands_in, run_command

PAGE = ROOT / "docs" / "tutorial.md"


def test_the_tutorial_goes_from_csv_files_to_a_recommendation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    said: list[tuple[str, str]] = []
    for block in blocks_of(PAGE):
        if block.language == "python":
            exec(compile(block.text, "tutorial.md", "exec"), {})
        said.extend((words[0], run_command(words)) for words in commands_in(block))
    assert [name for name, _ in said] == ["data"] * 3 + ["plan", "train"] + ["recommend"] * 3
    assert (tmp_path / "runs" / "shop" / "report.html").is_file()
    answer = json.loads(said[-1][1].strip().splitlines()[-1])
    assert len(answer["recommendations"]) == 3
    assert [entry["item_id"] for entry in answer["history"]] == ["p4", "p17"]
    assert re.search(r"^1 p\d+ \w+, (small|medium|large)$", capsys.readouterr().out, flags=re.MULTILINE)


def test_files_that_the_tutorial_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("http") and not (PAGE.parent / link).exists()] == []
