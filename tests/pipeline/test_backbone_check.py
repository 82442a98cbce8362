"""`llara backbone check` says what a model is, what it costs on a data set, and refuses what is no backbone."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from llara.cli.showing_backbone import show_checked_backbone
from llara.data import load_dataset
from llara.prompt import PromptConfig, PromptEncoder
from llara.run.backbones.advice import advise
from llara.run.backbones.check import check_pretrained
from llara.run.backbones.prompts import PromptCost, Spread
from tests.model.gguf_files import write_gguf
from tests.model.tiny import tiny_llama
from tests.pipeline.conftest import World, llara


@pytest.fixture
def gguf(
    tmp_path: Path, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setenv("LLARA_CACHE", str(tmp_path / "cache"))
    tokenizer = tiny_tokenizer("chat")
    return write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)


def test_a_model_is_described_and_its_prompts_are_measured(
    gguf: Path, dataset: World, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    found = llara("backbone", "check", gguf, "--data", dataset.data, "--json").json()
    original = tiny_llama(len(tiny_tokenizer("chat")))
    model, prompts = found["model"], found["prompts"]
    assert (found["usable"], found["faults"]) == (True, {})
    assert found["uses"] == {"listwise": True, "sequence": True, "answer": True, "generation": True}
    assert (model["architecture"], model["layers"], model["width"]) == ("LlamaForCausalLM", 2, 32)
    assert model["num_weights"] == sum(parameter.numel() for parameter in original.parameters())
    assert model["positions"] == 512
    assert found["tokenizer"]["has_chat_template"]
    assert found["tokenizer"]["frame"].startswith("<|im_start|>user")
    catalog = load_dataset(dataset.data).catalog
    encoder = PromptEncoder(tiny_tokenizer("chat"), catalog, PromptConfig())
    titles = [len(encoder.answer_tokens(item)) - 1 for item in range(1, catalog.num_items + 1)]
    assert prompts["title_tokens"]["largest"] == max(titles)
    assert prompts["prompt_tokens"]["largest"] == prompts["row_tokens"]
    assert prompts["candidates"] * min(titles) < prompts["prompt_tokens"]["median"] <= prompts["row_tokens"]
    hidden_states = prompts["row_tokens"] * model["width"] * 4 * model["layers"]
    assert hidden_states < prompts["row_bytes"] < 200 * hidden_states
    settings = [entry["setting"] for entry in found["advice"]]
    assert settings[:2] == [f"backbone.path={gguf}", "backbone.tuning=lora"]
    assert settings[-1] == "train.micro_batch_size=16"


def test_a_table_says_the_same(gguf: Path, dataset: World) -> None:
    shown = llara("backbone", "check", gguf, "--data", dataset.data)
    assert shown.code == 0, shown.err
    for part in ("LlamaForCausalLM", "self-test", "passed", "tokens a prompt", "what to set", "backbone.tuning=lora"):
        assert part in shown.out
    assert "--data FOLDER measures" in llara("backbone", "check", gguf).err


def test_what_is_no_backbone_is_refused(gguf: Path, dataset: World, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    shape: Any = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=30, **shape)).save_pretrained(encoder)
    gguf.write_bytes(gguf.read_bytes()[:5000])
    for path, message in {
        str(encoder): "(BertModel) turns texts into vectors and writes none",
        str(gguf): "damaged or cut short",
        str(tmp_path / "none.gguf"): "does not exist",
        str(tmp_path / "none" / "here"): "does not exist",
        "smollm2-135m": "llara backbone fetch smollm2-135m",
        "nano": "made anew from each catalog",
    }.items():
        assert message in llara("backbone", "check", path).refused()
    refused = llara("backbone", "check", gguf, "--json")
    assert (refused.code, "damaged" in refused.out) == (2, True)
    assert "Error" in llara("backbone", "check", encoder, "--data", tmp_path / "none").refused()


def test_a_run_refuses_a_broken_file_before_it_reads_the_data(gguf: Path, dataset: World) -> None:
    gguf.write_bytes(gguf.read_bytes()[:-300])
    message = llara("train", dataset.config("none"), "--set", f"backbone.path={gguf}").refused()
    assert "damaged or cut short" in message
    assert not (dataset.folder / "none").exists()


def test_a_run_on_a_file_is_opened_again_with_the_same_ranking(gguf: Path, dataset: World) -> None:
    lines = ("backbone.tuning=lora", f"backbone.path={gguf}", "train.epochs=0.1", "evaluate.generation_draws=0")
    options = [word for line in lines for word in ("--set", line)]
    assert llara("train", dataset.config("on-a-file"), *options).code == 0
    run = dataset.folder / "on-a-file"
    assert not (run / "backbone").exists()
    asked = ("recommend", run, "--user", "1", "-k", "3", "--json")
    first = llara(*asked).json()
    for folder in (gguf.parent / "cache" / "backbones").iterdir():  # the cache may be emptied at any time
        shutil.rmtree(folder, ignore_errors=True)
    assert llara(*asked).json() == first
    gguf.unlink()
    assert "does not exist" in llara(*asked).refused()


def test_a_model_that_fails_the_self_test_is_shown_with_what_is_left(
    gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = check_pretrained(str(gguf))
    partly = replace(checked, faults={"tree": "off by 3"})
    assert (partly.usable, partly.uses["listwise"], partly.uses["answer"]) == (True, True, False)
    unusable = replace(checked, faults={"training": "no gradient"})
    assert not unusable.usable
    show_checked_backbone(partly)
    show_checked_backbone(unusable)
    said = capsys.readouterr()
    assert "exact for listwise, sequence, generation" in " ".join(said.out.replace("│", " ").split())
    assert "cannot be used" in said.err


def test_advice_follows_from_what_was_measured() -> None:
    titles, prompts = Spread(median=20, most=60, largest=90), Spread(median=700, most=900, largest=2100)
    cost = PromptCost("log", 10, 20, prompts, titles, row_bytes=1_100_000_000, row_tokens=900)
    said = {
        entry.setting.partition("=")[0]: entry
        for entry in advise("model", prompts=cost, positions=2048, frame_tokens=30, faults=["tree"])
    }
    assert said["prompt.max_title_tokens"].setting.endswith("=25")
    assert "the model reads 2048" in said["prompt.max_title_tokens"].why
    assert said["train.micro_batch_size"].setting.endswith("=2")
    assert said["prompt.chat_template"].setting.endswith("=never")
    assert said["train.objective.name"].setting.endswith("=listwise")
    plain = advise("model", prompts=None, positions=None, frame_tokens=4, faults=[])
    assert [entry.setting for entry in plain] == ["backbone.path=model", "backbone.tuning=lora"]
