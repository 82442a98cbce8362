"""The built-in backbone and the continued pretraining on a catalog's text."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from llara.data import Catalog
from llara.errors import ConfigError
from llara.model import AdaptConfig, Llara, NanoConfig, adapt_backbone, build_nano
from llara.model.adapt import UNTRAINED, BlockSampler, catalog_lines, practice_document
from llara.model.backbone import input_embeddings
from llara.model.nano import BEGIN, END, PADDING, train_tokenizer
from llara.prompt import PromptConfig, PromptEncoder

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


SHARED = [f" Book {number} (Mark Twain; historical novel, 18{number})" for number in range(10, 40)]
"""Texts whose author and subject are many items' own."""


def test_a_value_that_many_items_share_becomes_one_token() -> None:
    tokenizer = train_tokenizer([*SHARED, *[" Heat (1995)"] * 5, *[" Thing, The"] * 5], vocabulary=600)

    def pieces(text: str) -> list[str]:
        return [str(tokenizer.decode([token])) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]

    assert pieces(" Heat (1995)") == [" Heat", " (1995)"]
    assert pieces(" Thing, The") == [" Thing", ", The"]
    written = pieces(" Book 12 (Mark Twain; historical novel, 1812)")
    assert written[:2] == [" Book", " 12"]
    assert written[2:4] == [" (Mark Twain", "; historical novel"]
    assert written[-1] == ")"


def test_no_token_goes_beyond_a_line_or_a_word_but_within_brackets_or_a_list() -> None:
    text = "Seen:\n Alpha beta\n Alpha beta\n(A) b (c d) e; f g, h i\n\n"
    tokenizer = train_tokenizer([text] * 50, vocabulary=2000)
    pieces = {str(tokenizer.decode([token])) for token in tokenizer(text)["input_ids"]}
    assert {"\n", " Alpha", " beta", " (c d)", "; f g", ", h i"} <= pieces
    assert not any("\n" in piece and piece != "\n" for piece in pieces)
    assert not any("Alpha" in piece and "beta" in piece for piece in pieces)


@given(text=st.one_of(st.text(), st.text(alphabet="(),;. \n\tab1é")))
def test_every_string_comes_back_from_a_tokenizer_that_splits_at_brackets(text: str) -> None:
    tokenizer = shared_tokenizer()
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == text


@cache
def shared_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer([*SHARED, " (a; b, c)\n (a) ;; ,,"], vocabulary=500)


@pytest.fixture(scope="module")
def matcher() -> LlamaForCausalLM:
    """A fresh nano whose attention weights can be read."""
    shape = NanoConfig(hidden_size=64, num_layers=2, num_heads=4, vocabulary=400)
    model, _ = build_nano(SHARED, shape, seed=0)
    model.set_attn_implementation("eager")
    model.eval()
    return model


def test_a_fresh_nano_attends_to_tokens_like_the_current_one(matcher: LlamaForCausalLM) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.stack([torch.randperm(300, generator=generator)[:12] for _ in range(64)])
    places = torch.randint(4, 11, (64,), generator=generator)
    rows[torch.arange(64), places] = rows[:, 11]  # the last token stood there before
    with torch.inference_mode():
        first_layer = matcher(input_ids=rows, output_attentions=True).attentions[0]
    last = first_layer[:, :, 11].mean(dim=1)  # [rows, 12], over heads
    to_equal = last[torch.arange(64), places]
    others = last[:, :11].sum(dim=1) - to_equal
    assert float((to_equal > 1.5 * others / 10).float().mean()) > 0.9
    assert float(to_equal.mean()) > 3 * float(others.mean()) / 10


def test_each_layer_of_a_fresh_nano_passes_on_what_stands_where_it_looks(matcher: LlamaForCausalLM) -> None:
    states = torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
    for layer in matcher.model.layers:
        attention = layer.self_attn
        with torch.inference_mode():
            heads = slice(16, 64)  # the first one copies
            torch.testing.assert_close(attention.k_proj(states)[:, heads], attention.q_proj(states)[:, heads])
            values = attention.v_proj(states)
            values[:, :16] = 0
            seen = attention.v_proj.weight[heads]
            torch.testing.assert_close(attention.o_proj(values), 0.3 * states @ seen.T @ seen, atol=1e-5, rtol=1e-4)
    first, second = (layer.self_attn.q_proj.weight for layer in matcher.model.layers)
    assert not torch.allclose(first, second, atol=0.05)


@pytest.mark.parametrize("distance", [3, 20, 200])
def test_a_fresh_nano_continues_text_as_it_went_on_before(matcher: LlamaForCausalLM, distance: int) -> None:
    generator = torch.Generator().manual_seed(0)
    length = distance + 8
    rows = torch.stack([torch.randperm(300, generator=generator)[:length] for _ in range(32)])
    place = length - 1 - distance
    rows[:, -1] = rows[:, place]  # the last token stood there before, and what followed it must be found
    with torch.inference_mode():
        layers = matcher(input_ids=rows, output_attentions=True).attentions
    one_back = layers[0][:, 0].diagonal(-1, 1, 2)
    assert float(one_back.mean()) > 0.95
    follower = layers[1][:, 0, -1, place + 1]
    others = 1 - follower - layers[1][:, 0, -1, -1]  # all but itself
    assert float(follower.mean()) > 5 * float(others.mean()) / (length - 2)  # blind: 1


def test_a_fresh_nanos_token_vectors_have_length_about_one(matcher: LlamaForCausalLM) -> None:
    lengths = input_embeddings(matcher).weight.detach().norm(dim=1)
    assert float(lengths.mean()) == pytest.approx(1.0, abs=0.05)


def test_building_a_nano_leaves_the_global_random_state_alone(tiny_catalog: Catalog) -> None:
    state = torch.random.get_rng_state()
    build_nano(tiny_catalog.titles, SHAPE, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)


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


def encoder_of(catalog: Catalog, tokenizer: PreTrainedTokenizerFast) -> PromptEncoder:
    return PromptEncoder(tokenizer, catalog, PromptConfig())


def test_blocks_are_seeded_and_have_the_asked_size(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    encoder = encoder_of(tiny_catalog, tiny_tokenizer("nano"))
    first, again = (BlockSampler(encoder, tiny_catalog, ADAPT) for _ in range(2))
    drawn = []
    for seed in range(5):
        tokens, labels = first.block(np.random.default_rng(seed))
        assert len(labels) == len(tokens)
        assert len(tokens) == ADAPT.block_tokens + 1
        assert tokens[-1] == encoder.tokenizer.eos_token_id
        assert (tokens, labels) == again.block(np.random.default_rng(seed))
        drawn.append(tokens)
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_practice_ratio_decides_between_facts_and_the_task(
    ratio: float, tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    encoder = encoder_of(tiny_catalog, tiny_tokenizer("nano"))
    config = replace(ADAPT, practice_ratio=ratio, block_tokens=3000)
    tokens, _ = BlockSampler(encoder, tiny_catalog, config).block(np.random.default_rng(0))
    _, *documents, rest = str(encoder.tokenizer.decode(tokens)).split(END)
    assert rest == ""
    facts = [document in catalog_lines(tiny_catalog) for document in documents]
    assert all(facts) if ratio == 0.0 else not any(facts)
    assert (encoder.filler in tokens) == (ratio == 1.0)


def practice(
    encoder: PromptEncoder, num_items: int, seed: int, titles: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Titles of history, candidates and answers of a practice document, read from its text; checks that none is cut."""
    tokens, _ = practice_document(encoder, num_items, np.random.default_rng(seed))
    assert tokens[-1] == encoder.frame.end
    *documents, rest = str(encoder.tokenizer.decode(tokens)).split(END)
    assert rest == ""
    prompt, first_answer = documents[0].rsplit(":", 1)
    runs: list[list[str]] = [[]]
    for line in prompt.split("\n"):
        if line.endswith(PADDING):  # an item; its slot holds the filler
            runs[-1].append(line.removesuffix(PADDING))
        elif runs[-1]:
            runs.append([])
    history, candidates = [run for run in runs if run]
    assert first_answer.startswith("\n")
    answers = [first_answer[1:], *documents[1:]]
    assert all(title.removeprefix(" ") in titles for title in (*history, *candidates, *answers))
    return history, candidates, answers


def without_colons(catalog: Catalog, num_items: int) -> Catalog:
    """The first items, whose titles end where the wording says: at no colon."""
    titles = tuple(title.replace(":", "") for title in catalog.titles[: num_items + 1])
    return replace(catalog, titles=titles, item_ids=catalog.item_ids[: num_items + 1], metadata=pl.DataFrame())


@pytest.mark.parametrize("num_items", [1, 2, 3, 24])
def test_practice_shows_the_task_with_the_answer_of_every_candidate(
    num_items: int, tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    catalog = without_colons(tiny_catalog, num_items)
    encoder = encoder_of(catalog, tiny_tokenizer("nano"))
    sizes, in_order = set(), []
    for seed in range(30):
        history, candidates, answers = practice(encoder, num_items, seed, catalog.titles[1:])
        assert sorted(answers) == sorted(candidates)
        assert len(history) >= 1
        shown = [*history, *candidates] if num_items > 1 else candidates
        assert len(shown) <= num_items
        assert len(set(shown)) >= len(shown) - 1  # the catalog has two items of one title, else items are distinct
        sizes.add(len(shown))
        in_order.append(answers == candidates)
    if num_items == 24:
        assert len(sizes) > 5
        assert sum(in_order) < 5  # in random order: not the list's


def test_practice_is_seeded_and_takes_every_wording(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    encoder = encoder_of(tiny_catalog, tiny_tokenizer("nano"))
    first, again = ([practice_document(encoder, 24, np.random.default_rng(seed)) for seed in range(20)] for _ in "ab")
    assert first == again
    opening = [str(encoder.tokenizer.decode(tokens)).removeprefix(BEGIN)[:10] for tokens, _ in first]
    assert set(opening) == {template.text[:10] for template in encoder.templates}


def test_titles_that_spell_the_end_token_do_not_end_a_document(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    tokenizer = tiny_tokenizer("nano")
    catalog = replace(tiny_catalog, titles=("", *["<|end|>"] * 24), metadata=pl.DataFrame())
    encoder = encoder_of(catalog, tokenizer)
    sampler = BlockSampler(encoder, catalog, replace(ADAPT, practice_ratio=0.0))
    tokens, _ = sampler.block(np.random.default_rng(0))
    title = len(tokenizer(" <|end|>", split_special_tokens=True)["input_ids"])
    assert tokens[::-1][:: title + 1].count(tokenizer.eos_token_id) == tokens.count(tokenizer.eos_token_id)
    for seed in range(5):
        document, _ = practice_document(encoder, 24, np.random.default_rng(seed))
        ends = [place for place, token in enumerate(document) if token == tokenizer.eos_token_id]
        assert len(ends) == document.count(encoder.filler) - max(1, document.count(encoder.filler) // 3)  # candidates
        assert set(np.diff(ends)) <= {title + 1}


def test_the_loss_is_the_mean_over_all_tokens_but_the_slots_filler(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    model, tokenizer = build_nano(tiny_catalog.titles, SHAPE, seed=0)
    encoder = encoder_of(tiny_catalog, tokenizer)
    config = replace(ADAPT, steps=1, practice_ratio=1.0)
    rng = np.random.default_rng([3, 0xADA])
    sampler = BlockSampler(encoder, tiny_catalog, config)
    ids = torch.tensor([sampler.block(rng)[0] for _ in range(config.batch_size)])
    with torch.inference_mode():
        log_probs = model(input_ids=ids[:, :-1]).logits.float().log_softmax(-1)
    nats = -log_probs.gather(2, ids[:, 1:, None]).squeeze(2)
    is_filler = ids[:, 1:] == encoder.filler
    assert is_filler.any()
    [loss] = adapt_backbone(model, encoder, tiny_catalog, config=config, seed=3, precision="float32")
    assert loss == pytest.approx(float(nats[~is_filler].mean()), abs=1e-5)
    assert loss != pytest.approx(float(nats.mean()), abs=1e-3)


@pytest.mark.parametrize("kind", ["nano", "gpt2", "chat"])
def test_practice_trains_every_answers_end_and_no_slot(
    kind: str, tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    # Without a padding token the filler is the end token itself; answers must still learn to end.
    encoder = encoder_of(tiny_catalog, tiny_tokenizer(kind))
    tokens, labels = practice_document(encoder, 24, np.random.default_rng(1))
    untrained = [place for place, label in enumerate(labels) if label == UNTRAINED]
    assert all(tokens[place] == encoder.filler for place in untrained)
    assert all(label in (token, UNTRAINED) for token, label in zip(tokens, labels, strict=True))
    slots = len(untrained)
    candidates = slots - max(1, slots // 3)
    assert labels[-1] == encoder.frame.end
    assert labels[untrained[-1] + 1 :].count(encoder.frame.end) == candidates + (kind == "chat")


def test_adapting_lowers_the_loss_on_the_catalogs_text(tiny_catalog: Catalog) -> None:
    model, tokenizer = build_nano(tiny_catalog.titles, SHAPE, seed=0)
    steps: list[int] = []
    losses = adapt_backbone(
        model, encoder_of(tiny_catalog, tokenizer), tiny_catalog,
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
    encoder = encoder_of(tiny_catalog, tokenizer)
    assert adapt_backbone(model, encoder, tiny_catalog, config=AdaptConfig(), seed=0) == []
    assert torch.equal(input_embeddings(model).weight, before)
