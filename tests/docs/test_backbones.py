"""The page on pretrained models works as it is written, with a tiny model in the place of the real one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from llara.run.backbones.known import KNOWN
from tests.docs.walking import ROOT, blocks_of, commands_in, run_command
from tests.pipeline.conftest import write_log
from tests.pipeline.publishing import packed_folder, publish

PAGE = ROOT / "docs" / "backbones.md"


def test_the_page_names_every_known_model_and_its_package() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for known in KNOWN.values():
        assert f"| `{known.name}` |" in text
        assert f"package `{known.package_name}`, {known.megabytes} MB" in text


def test_the_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    monkeypatch.chdir(tmp_path)
    log, items = write_log(tmp_path)
    log.write_text(log.read_text().replace("timestamp", "time"))
    log.rename("LOG.csv")
    items.rename("ITEMS.csv")
    index = tmp_path / "index"
    model = packed_folder(index / "model", tiny_tokenizer("chat"))
    publish("smollm2-135m", "model.zip", model, folder=index, url=index.as_uri(), patch=monkeypatch)
    said = [run_command(words) for block in blocks_of(PAGE) for words in commands_in(block)]
    assert "known pretrained models" in said[0]
    assert "what to set" in said[-1]
    assert (tmp_path / "backbones" / "smollm2-135m" / "origin.json").is_file()
