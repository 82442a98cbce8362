"""Behavioral tokens in their slots: nothing else changes, and what should learn does."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import Catalog
from llara.errors import CheckpointError, PromptError
from llara.model import Llara, LlaraConfig, Projector, inject
from llara.model.backbone import causal_lm, decoder, embedding_norm, input_embeddings
from llara.prompt import PromptBatch, PromptConfig, PromptEncoder, collate, collate_left
from llara.recommender import SASRec

Build = Callable[..., Llara]
SHAPES = ["nano", "llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3", "gpt2"]


def batch_of(llara: Llara, hybrid: list[bool], *, answered: bool = True) -> PromptBatch:
    """One row per flag: histories of growing length, five candidates, the first one the answer."""
    prompts = [llara.encode_prompt(range(1, row + 3), [9, 10, 11, 12, 13]) for row in range(len(hybrid))]
    answers = [llara.encoder.answer_tokens(9)] * len(hybrid) if answered else None
    return collate(prompts, hybrid=hybrid, filler=llara.encoder.filler, answers=answers)


def test_injection_worked_by_hand() -> None:
    embeddings = torch.arange(12.0).view(2, 3, 2)
    filled = inject(embeddings, torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]))
    assert filled.tolist() == [[[0, 1], [2, 3], [-1, -2]], [[-3, -4], [8, 9], [10, 11]]]
    assert embeddings[0, 2].tolist() == [4, 5]  # the input is not overwritten


@settings(deadline=None)
@given(data=st.data(), B=st.integers(1, 3), T=st.integers(1, 6))
def test_injection_changes_slots_only(data: st.DataObject, B: int, T: int) -> None:
    places = sorted(data.draw(st.sets(st.tuples(st.integers(0, B - 1), st.integers(0, T - 1)))))
    rows, positions = (torch.tensor([place[axis] for place in places], dtype=torch.long) for axis in (0, 1))
    embeddings, vectors = torch.zeros(B, T, 4), torch.ones(len(places), 4)
    filled = inject(embeddings, rows, positions, vectors)
    changed = {(int(row), int(place)) for row, place in filled.any(-1).nonzero()}
    assert changed == set(places)
    assert not embeddings.any()


def test_slots_of_hybrid_rows_hold_projections_and_those_of_text_only_rows_the_placeholder(build: Build) -> None:
    llara = build()
    batch = batch_of(llara, [True, False])
    embedded = llara.embed(batch)
    words = input_embeddings(llara.model)(batch.token_ids)
    is_slot = torch.zeros(batch.token_ids.shape, dtype=torch.bool)
    is_slot[batch.slot_rows, batch.slot_positions] = True
    assert torch.equal(embedded[~is_slot], words[~is_slot])
    for row, position, item in zip(batch.slot_rows, batch.slot_positions, batch.slot_items, strict=True):
        expected = llara.projector(llara.item_table[item]) if row == 0 else llara.placeholder
        torch.testing.assert_close(embedded[row, position], expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_slots_the_model_is_the_plain_language_model(shape: str, build: Build) -> None:
    llara = build(shape, tuning="frozen", prompt=PromptConfig(history="text", candidates="text")).eval()
    batch = batch_of(llara, [True, True, False])
    assert batch.slot_items.numel() == 0
    lm = causal_lm(llara.model)
    plain = lm(input_ids=batch.token_ids, attention_mask=batch.is_token.long(), output_hidden_states=True)
    real = batch.is_token
    torch.testing.assert_close(llara.hidden_states(batch)[real], plain.hidden_states[-1][real], atol=1e-5, rtol=1e-5)
    log_probs = plain.logits.log_softmax(-1)[batch.answer_rows, batch.answer_positions, batch.answer_tokens]
    torch.testing.assert_close(llara(batch).answer_log_probs, log_probs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", ["llama", "mistral", "gpt2"])
def test_left_padded_hidden_states_are_those_of_the_single_row(shape: str, build: Build) -> None:
    llara = build(shape).eval()
    prompts = [llara.encode_prompt(history, [9, 10]) for history in ([1], [2, 3, 4, 5])]
    both = llara.hidden_states(collate_left(prompts, hybrid=[True, True], filler=llara.encoder.filler))
    for row, prompt in enumerate(prompts):
        single = llara.hidden_states(collate([prompt], hybrid=[True], filler=llara.encoder.filler))
        torch.testing.assert_close(both[row, -1], single[0, -1], atol=1e-5, rtol=1e-5)


def gradients(llara: Llara, batch: PromptBatch) -> dict[str, float]:
    """Largest gradient of the answer loss in the projector, the placeholder, the recommender and the rest."""
    llara.zero_grad()
    (-llara(batch, listwise=False).answer_log_probs.mean()).backward()
    found = {"projector": 0.0, "placeholder": 0.0, "recommender": 0.0, "model": 0.0, "head": 0.0}
    for name, parameter in llara.named_parameters():
        if parameter.grad is not None:
            part = name.split(".")[0]
            found[part] = max(found[part], float(parameter.grad.abs().max()))
    return found


def test_hybrid_rows_teach_the_projector_and_text_only_rows_the_placeholder(build: Build) -> None:
    llara = build()
    hybrid = gradients(llara, batch_of(llara, [True, True]))
    assert hybrid["projector"] > 0
    assert hybrid["placeholder"] == 0
    text_only = gradients(llara, batch_of(llara, [False, False]))
    assert text_only["projector"] == 0
    assert text_only["placeholder"] > 0
    mixed = gradients(llara, batch_of(llara, [True, False]))
    assert min(mixed["projector"], mixed["placeholder"], mixed["model"]) > 0
    assert hybrid["recommender"] == text_only["recommender"] == mixed["recommender"] == 0


def test_recommender_and_item_table_are_frozen(build: Build) -> None:
    llara = build(tuning="full").train()
    table = llara.item_table.clone()
    weights = {name: value.clone() for name, value in llara.recommender.state_dict().items()}
    words = input_embeddings(llara.model).weight.detach().clone()
    optimizer = torch.optim.AdamW(llara.parameters(), lr=0.1, weight_decay=0.1)
    output = llara(batch_of(llara, [True, False]))
    (output.listwise.square().mean() - output.answer_log_probs.mean()).backward()
    optimizer.step()
    assert torch.equal(llara.item_table, table)
    assert all(torch.equal(value, weights[name]) for name, value in llara.recommender.state_dict().items())
    assert not torch.equal(input_embeddings(llara.model).weight, words)
    assert not llara.recommender.training  # no dropout in retrieval while the rest trains
    assert not any(name.startswith("recommender.") for name in llara.trainable())


def test_what_is_trained_follows_the_tuning(build: Build) -> None:
    ours = {"placeholder", "head.weight"} | {
        f"projector.{layer}.{part}" for layer in ("first", "second") for part in ("weight", "bias")
    }
    assert set(build(tuning="frozen").trainable()) == ours
    lora = set(build(tuning="lora").trainable()) - ours
    assert lora
    assert all(".lora_" in name for name in lora)
    full = build(tuning="full")
    assert set(full.trainable()) - ours == {f"model.{name}" for name, _ in full.model.named_parameters()}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_projections_start_within_a_factor_of_two_of_the_target_norm(scale: float, offset: float) -> None:
    table = (torch.randn(300, 64, generator=torch.Generator().manual_seed(0)) + offset) * scale
    norms = Projector(table, 128, target_norm=0.7, seed=0)(table[1:]).detach().norm(dim=-1)
    assert float(norms.min()) > 0.35
    assert float(norms.max()) < 1.4
    assert float(norms.mean()) == pytest.approx(0.7, rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_behavioral_tokens_start_as_long_as_words(shape: str, build: Build) -> None:
    llara = build(shape)
    words = input_embeddings(llara.model)
    with torch.no_grad():
        norm = float(words(torch.arange(words.num_embeddings)).norm(dim=-1).mean())
        behavioral = llara.projector(llara.item_table[1:]).norm(dim=-1)
    assert embedding_norm(llara.model) == pytest.approx(norm, rel=1e-4)
    assert norm / 2 < float(behavioral.min())
    assert float(behavioral.max()) < 2 * norm
    assert float(llara.placeholder.detach().norm()) == pytest.approx(norm, rel=1e-4)


def test_a_table_of_equal_columns_projects_to_finite_vectors() -> None:
    table = torch.full((5, 3), 1000.1)
    table[:, 0] = torch.arange(5.0)
    projected = Projector(table, 8, target_norm=1.0, seed=0)(table[1:]).detach()
    assert torch.isfinite(projected).all()
    assert float((projected[0] - projected[3]).norm()) > 0.1  # what tells items apart is not drowned


def test_new_weights_follow_the_seed(build: Build) -> None:
    first, again, other = ({n: p.detach() for n, p in build(seed=seed).trainable().items()} for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    for name in ("placeholder", "head.weight", "projector.first.weight"):
        assert not torch.equal(first[name], other[name])
    adapters = [name for name in first if "lora_A" in name]
    assert adapters
    assert not any(torch.equal(first[name], other[name]) for name in adapters)


def test_building_a_model_leaves_the_global_random_state_alone(build: Build) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    build()
    assert torch.equal(torch.rand(3), expected)


def test_a_recommender_of_another_catalog_is_refused(tiny_catalog: Catalog) -> None:
    with pytest.raises(PromptError, match=r"recommender 'sasrec' knows 7 items, the catalog has 24. Fit it on this"):
        Llara.from_backbone("nano", SASRec(7, width=8), tiny_catalog)


def test_a_tokenizer_of_another_backbone_is_refused(build: Build, tiny_catalog: Catalog, sasrec: SASRec) -> None:
    from llara.model.nano import train_tokenizer

    llara = build("llama", tuning="frozen")
    tokenizer = train_tokenizer([" ".join(tiny_catalog.titles)] * 3, vocabulary=4096)
    causal_lm(llara.model).resize_token_embeddings(260)
    with pytest.raises(CheckpointError, match=r"tokenizer uses token \d+, the backbone has 260 embeddings"):
        Llara(
            causal_lm(llara.model),
            encoder=PromptEncoder(tokenizer, tiny_catalog, PromptConfig()),
            catalog=tiny_catalog,
            recommender=sasrec,
            config=LlaraConfig(),
        )


def test_the_decoder_is_the_model_without_its_head(build: Build) -> None:
    llara = build()
    assert not any("lm_head" in name for name, _ in decoder(llara.model).named_modules())


def test_a_batch_can_be_overfitted_by_both_objectives(build: Build) -> None:
    llara = build(tuning="full").train()
    batch = batch_of(llara, [True, True, False])
    optimizer = torch.optim.AdamW(llara.trainable().values(), lr=1e-2)
    losses = []
    for _ in range(40):
        output = llara(batch)
        listwise = torch.nn.functional.cross_entropy(output.listwise, torch.zeros(3, dtype=torch.long))
        loss = listwise - output.answer_log_probs.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3


def test_rows_of_a_wider_batch_score_as_before(build: Build, stir: Callable[[Llara], Llara]) -> None:
    llara = stir(build("llama")).eval()
    prompts = [llara.encode_prompt([1, 2, 3], [4, 5, 6]), llara.encode_prompt([7], [8, 9, 10])]
    widths = [max(len(prompt.token_ids) for prompt in prompts)]
    widths.append(llara.padded_width(widths[0]))
    assert widths[1] % 16 == 0
    assert 0 <= widths[1] - widths[0] < 16
    scores = []
    for width in (widths[0], widths[1] + 16):
        filler, widened = llara.encoder.filler, {widths[0]: width}
        batch = collate(prompts, hybrid=[True, False], filler=filler, padded_width=widened.__getitem__)
        assert batch.token_ids.shape[1] == width
        with torch.no_grad():
            scores.append(llara(batch, answer=False).listwise)
    torch.testing.assert_close(scores[0], scores[1])


def test_a_batch_is_never_wider_than_the_backbone_reads(build: Build) -> None:
    llara = build("gpt2")
    limit = causal_lm(llara.model).config.max_position_embeddings
    assert llara.padded_width(limit - 1) == limit
    assert llara.padded_width(limit) == limit
