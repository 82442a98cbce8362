"""The built-in backbone and the continued pretraining on a catalog's text."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from llara.data import Catalog
from llara.errors import ConfigError
from llara.model import AdaptConfig, Llara, NanoConfig, adapt_backbone, build_nano
from llara.model.adapt import catalog_lines, sample_block
from llara.model.backbone import input_embeddings
from llara.prompt import templates_for

SHAPE = NanoConfig(hidden_size=32, num_layers=2, num_heads=4, vocabulary=400)
ADAPT = AdaptConfig(steps=30, batch_size=4, block_tokens=48, learning_rate=1e-2)


def test_the_same_seed_and_texts_give_the_same_nano(tiny_catalog: Catalog) -> None:
    (first, words), (again, same), (other, _) = (
        build_nano(tiny_catalog.titles, SHAPE, seed=seed) for seed in (4, 4, 5)
    )
    assert words.get_vocab() == same.get_vocab()
    weights, repeated, changed = (dict(model.named_parameters()) for model in (first, again, other))
    assert all(torch.equal(weights[name], repeated[name]) for name in weights)
    assert not torch.equal(weights["model.embed_tokens.weight"], changed["model.embed_tokens.weight"])


def test_nano_has_the_asked_shape(tiny_catalog: Catalog) -> None:
    model, tokenizer = build_nano(tiny_catalog.titles, SHAPE, seed=0)
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.config.num_attention_heads) == (32, 2, 4)
    assert 256 < len(tokenizer) <= 400
    assert input_embeddings(model).num_embeddings == len(tokenizer)
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}) == 3


@given(text=st.text())
def test_the_nano_tokenizer_gives_every_string_back(
    text: str, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    tokenizer = tiny_tokenizer("nano")
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_catalog_lines_hold_titles_and_the_asked_columns(tiny_catalog: Catalog) -> None:
    lines = catalog_lines(tiny_catalog)
    assert len(lines) == tiny_catalog.num_items
    assert lines[0] == " Alien\nyear: 1970"  # no genre, no line
    assert lines[1] == " Aliens\nyear: 1972\ngenres: Horror"
    assert catalog_lines(tiny_catalog, ["genres"])[1] == " Aliens\ngenres: Horror"
    with pytest.raises(ConfigError, match=r"backbone.adapt.columns: .* no column 'plot'; it has: year, genres"):
        catalog_lines(tiny_catalog, ["plot"])


def test_a_catalog_of_titles_alone_has_lines(tiny_catalog: Catalog) -> None:
    bare = replace(tiny_catalog, metadata=pl.DataFrame())
    assert catalog_lines(bare)[:2] == [" Alien", " Aliens"]


def block(catalog: Catalog, tokenizer: PreTrainedTokenizerFast, seed: int, config: AdaptConfig = ADAPT) -> list[int]:
    rng = np.random.default_rng(seed)
    return sample_block(catalog, catalog_lines(catalog), templates_for("movie"), tokenizer, config=config, rng=rng)


def test_blocks_are_seeded_and_have_the_asked_size(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    tokenizer = tiny_tokenizer("nano")
    for seed in range(5):
        tokens = block(tiny_catalog, tokenizer, seed)
        assert len(tokens) == ADAPT.block_tokens + 1
        assert tokens[-1] == tokenizer.eos_token_id
        assert tokens == block(tiny_catalog, tokenizer, seed)
    assert block(tiny_catalog, tokenizer, 0) != block(tiny_catalog, tokenizer, 1)


@pytest.mark.parametrize("num_items", [1, 2, 3, 24])
def test_practice_shows_the_task_with_a_listed_answer(
    num_items: int, tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    tokenizer = tiny_tokenizer("nano")
    catalog = replace(
        tiny_catalog,
        titles=tuple(title.replace(":", "") for title in tiny_catalog.titles[: num_items + 1]),
        metadata=pl.DataFrame(),
    )
    config = replace(ADAPT, practice_ratio=1.0, block_tokens=2000)
    text = str(tokenizer.decode(block(catalog, tokenizer, 3, config)))
    *_, document, rest = text.split("<|end|>")
    assert rest == ""
    listed, answer = document.rsplit(":", 1)
    assert answer.strip() in catalog.titles[1:]
    assert f"\n{answer}" in listed


def test_titles_that_spell_the_end_token_do_not_end_a_document(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    tokenizer = tiny_tokenizer("nano")
    catalog = replace(tiny_catalog, titles=("", *["<|end|>"] * 24), metadata=pl.DataFrame())
    tokens = block(catalog, tokenizer, 0, replace(ADAPT, practice_ratio=0.0))
    title = len(tokenizer(" <|end|>", split_special_tokens=True)["input_ids"])
    assert tokens[::-1][:: title + 1].count(tokenizer.eos_token_id) == tokens.count(tokenizer.eos_token_id)


def test_adapting_lowers_the_loss_on_the_catalogs_text(tiny_catalog: Catalog) -> None:
    model, tokenizer = build_nano(tiny_catalog.titles, SHAPE, seed=0)
    steps: list[int] = []
    losses = adapt_backbone(
        model, tokenizer, tiny_catalog, templates_for("movie"),
        config=ADAPT, seed=0, precision="float32", on_step=lambda step, loss: steps.append(step),
    )  # fmt: skip
    assert steps == list(range(1, 31))
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.75 * losses[0]
    assert not model.training

    def held(text: str) -> float:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            return float(model(input_ids=ids, labels=ids).loss)

    fresh, _ = build_nano(tiny_catalog.titles, SHAPE, seed=0)
    adapted = held(catalog_lines(tiny_catalog)[1])
    model = fresh
    assert adapted < held(catalog_lines(tiny_catalog)[1]) - 1


def test_adapting_is_seeded_and_reads_the_catalog_only(build: Callable[..., Llara], sasrec: torch.nn.Module) -> None:
    # Its whole input is catalog, wording, seed: no interaction can reach it. The recommender is left alone.
    before = {name: value.clone() for name, value in sasrec.state_dict().items()}
    adapt = replace(ADAPT, steps=2)
    first, again = (build(tuning="frozen", adapt=adapt) for _ in range(2))
    plain = build(tuning="frozen")
    weights, repeated, fresh = (dict(llara.model.named_parameters()) for llara in (first, again, plain))
    assert all(torch.equal(weights[name], repeated[name]) for name in weights)
    assert not torch.equal(weights["model.embed_tokens.weight"], fresh["model.embed_tokens.weight"])
    assert all(torch.equal(value, before[name]) for name, value in sasrec.state_dict().items())


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_any_backbone_can_be_adapted_before_its_adapter_is_attached(shape: str, build: Callable[..., Llara]) -> None:
    adapted, plain = build(shape, adapt=replace(ADAPT, steps=2)), build(shape)
    names = {name for name, _ in plain.model.named_parameters()}
    assert {name for name, _ in adapted.model.named_parameters()} == names
    assert all(".lora_" in name for name, p in adapted.model.named_parameters() if p.requires_grad)
    same = dict(plain.model.named_parameters())
    assert any(not torch.equal(p, same[name]) for name, p in adapted.model.named_parameters() if ".lora_" not in name)


def test_no_steps_leave_the_backbone_as_it_is(tiny_catalog: Catalog) -> None:
    model, tokenizer = build_nano(tiny_catalog.titles, SHAPE, seed=0)
    before = input_embeddings(model).weight.detach().clone()
    assert adapt_backbone(model, tokenizer, tiny_catalog, templates_for("movie"), config=AdaptConfig(), seed=0) == []
    assert torch.equal(input_embeddings(model).weight, before)
