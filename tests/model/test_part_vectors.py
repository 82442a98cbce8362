"""Learned marks on history items and candidates: a named option, off by default."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llara.data import Catalog
from llara.model import Llara, autocast, generate_answers, score_candidates
from llara.model.backbone import causal_lm, input_embeddings
from llara.model.scoring import decode_answer
from llara.prompt import EncodedPrompt, collate
from llara.recommender import SASRec

HISTORIES = [[3, 8, 20], [1, 2, 3, 9, 13, 14, 15, 16], [11]]
CANDIDATES = [[1, 2, 3, 9, 4], [5, 4, 19, 2, 1], [24, 9, 10, 11, 7]]
Build = Callable[..., Llara]


@pytest.fixture
def marked(build: Build, tiny_catalog: Catalog, sasrec: SASRec) -> Build:
    """As `build`, with the option on."""

    def make(shape: str = "nano", *, seed: int = 0, **backbone: object) -> Llara:
        config = replace(build(shape, seed=seed, **backbone).config, part_vectors=True)
        return Llara.from_backbone(config.backbone, sasrec, tiny_catalog, config=config)

    return make


def stirred(llara: Llara) -> Llara:
    """With everything that learns moved a little, and part vectors as long as token vectors."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in llara.trainable().values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        norm = float(input_embeddings(llara.model).weight.norm(dim=1).mean())
        vectors = torch.randn(llara.part_vectors.shape, generator=generator)
        llara.part_vectors.copy_(vectors / vectors.norm(dim=1, keepdim=True) * norm)
    return llara.eval()


def scores(llara: Llara) -> np.ndarray:
    """Answer and listwise scores, [2, rows, C]."""
    return np.stack([
        score_candidates(llara, HISTORIES, CANDIDATES, scorer="answer"),
        score_candidates(llara, HISTORIES, CANDIDATES, scorer="listwise"),
    ])  # fmt: skip


def test_off_they_are_zero_and_neither_learned_nor_read(build: Build) -> None:
    llara = build()
    assert llara.config.part_vectors is False
    assert not llara.part_vectors.any()
    assert "part_vectors" not in llara.trainable()
    before = scores(llara)
    with torch.no_grad():
        llara.part_vectors.fill_(3.0)
    np.testing.assert_array_equal(scores(llara), before)


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_a_pretrained_backbone_starts_from_what_it_knows(shape: str, build: Build, marked: Build) -> None:
    plain, llara = build(shape), marked(shape)
    assert not llara.part_vectors.any()
    assert set(llara.trainable()) - set(plain.trainable()) == {"part_vectors"}
    np.testing.assert_array_equal(scores(llara), scores(plain))


def test_a_nano_starts_from_random_marks_and_is_else_the_same(build: Build, marked: Build) -> None:
    plain, llara, again, other = build(), marked(), marked(), marked(seed=1)
    history, candidate = llara.part_vectors.detach()
    assert history.any()
    assert candidate.any()
    assert not torch.allclose(history, candidate)
    assert torch.equal(llara.part_vectors, again.part_vectors)
    assert not torch.equal(llara.part_vectors, other.part_vectors)
    norm = float(input_embeddings(llara.model).weight.detach().norm(dim=1).mean())
    assert 0.2 * norm < float(history.norm()) < norm  # a mark, not the loudest part of the sum
    own = {name: value for name, value in plain.state_dict().items() if name != "part_vectors"}
    assert all(torch.equal(value, llara.state_dict()[name]) for name, value in own.items())
    assert np.abs(scores(llara) - scores(plain)).max() > 1e-3


def marked_embeddings(llara: Llara, prompt: EncodedPrompt, further: list[int], *, hybrid: bool = True) -> torch.Tensor:
    """Input embeddings of a prompt and plain tokens after it, built token by token, [1, T, D]."""
    embedded: torch.Tensor = input_embeddings(llara.model)(torch.tensor([[*prompt.token_ids, *further]]))
    for position, item in zip(prompt.slot_positions, prompt.slot_items, strict=True):
        embedded[0, position] = llara.projector(llara.item_table[item]) if hybrid else llara.placeholder
    for position, part in enumerate(prompt.parts):
        if part > 0:
            embedded[0, position] += llara.part_vectors[part - 1]
    return embedded


@torch.inference_mode()
def one_by_one(llara: Llara, history: list[int], candidates: list[int], *, hybrid: bool) -> list[float]:
    """The reference: one plain forward pass of the whole language model per candidate, prompt and answer in a row."""
    prompt = llara.encode_prompt(history, candidates)
    found = []
    for item in candidates:
        answer = list(llara.encoder.answer_tokens(item))
        embedded = marked_embeddings(llara, prompt, answer, hybrid=hybrid)
        log_probs = causal_lm(llara.model)(inputs_embeds=embedded, use_cache=False).logits[0].float().log_softmax(-1)
        start = len(prompt.token_ids)
        found.append(sum(float(log_probs[start + place - 1, token]) for place, token in enumerate(answer)))
    return found


@pytest.mark.parametrize("hybrid", [True, False])
@pytest.mark.parametrize("shape", ["nano", "llama", "mistral", "gemma3", "gpt2"])
def test_the_tree_equals_one_forward_pass_per_candidate(shape: str, hybrid: bool, marked: Build) -> None:
    llara = stirred(marked(shape))
    found = score_candidates(llara, HISTORIES, CANDIDATES, hybrid=hybrid, batch_size=3)
    expected = [one_by_one(llara, h, c, hybrid=hybrid) for h, c in zip(HISTORIES, CANDIDATES, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)
    with torch.no_grad():
        llara.part_vectors.zero_()
    without = score_candidates(llara, HISTORIES, CANDIDATES, hybrid=hybrid)
    assert np.abs(found - without).max() > 1e-2  # the vectors matter


@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_batches_score_as_single_rows(scorer: str, marked: Build) -> None:
    llara = stirred(marked())
    whole, single = (
        score_candidates(llara, HISTORIES, CANDIDATES, scorer=scorer, batch_size=size)  # type: ignore[arg-type]
        for size in (4, 1)
    )
    # Answers that cost 100 nats are known to the last place of float32 but one: 1.5e-5.
    np.testing.assert_allclose(whole, single, atol=1e-5, rtol=2 * float(np.finfo(np.float32).eps))


def test_each_vector_is_added_to_its_own_items_and_to_nothing_else(marked: Build) -> None:
    llara = stirred(marked())
    prompt = llara.encode_prompt(HISTORIES[0], CANDIDATES[0])
    batch = collate([prompt], hybrid=[True], filler=llara.encoder.filler)
    with torch.no_grad():
        with_marks = llara.embed(batch)[0]
        vectors = llara.part_vectors.clone()
        llara.part_vectors.zero_()
        difference = with_marks - llara.embed(batch)[0]  # [T, D]
    expected = [vectors[part - 1] if part else torch.zeros_like(vectors[0]) for part in prompt.parts]
    torch.testing.assert_close(difference, torch.stack(expected), atol=1e-5, rtol=0)
    assert set(prompt.parts) == {0, 1, 2}


def test_they_survive_a_round_trip(marked: Build, tmp_path: Path) -> None:
    llara = stirred(marked())
    llara.save_pretrained(tmp_path)
    opened = Llara.from_pretrained(tmp_path)
    assert opened.config.part_vectors is True
    assert torch.equal(opened.part_vectors, llara.part_vectors)
    assert "part_vectors" in opened.trainable()
    np.testing.assert_allclose(scores(opened), scores(llara), atol=1e-5)


@pytest.mark.parametrize("shape", ["nano", "llama"])
def test_generation_writes_what_plain_forward_passes_choose(shape: str, marked: Build) -> None:
    llara = stirred(marked(shape))
    found = generate_answers(llara, HISTORIES, CANDIDATES, max_new_tokens=5)
    lm, expected = causal_lm(llara.model), []
    for history, candidates in zip(HISTORIES, CANDIDATES, strict=True):
        prompt, written = llara.encode_prompt(history, candidates), list[int]()
        with torch.inference_mode():
            while len(written) < 5 and llara.encoder.frame.end not in written:
                logits = lm(inputs_embeds=marked_embeddings(llara, prompt, written), use_cache=False).logits
                written.append(int(logits[0, -1].argmax()))
        expected.append(decode_answer(llara, written))
    assert found == expected


def test_mixed_precision_keeps_its_type(marked: Build) -> None:
    llara = stirred(marked(precision="bfloat16"))
    batch = collate([llara.encode_prompt([3], [1, 2])], hybrid=[True], filler=llara.encoder.filler)
    with autocast(llara), torch.no_grad():
        assert llara.embed(batch).dtype == torch.bfloat16


@pytest.mark.parametrize(("answer", "listwise"), [(True, False), (False, True)])
def test_both_vectors_learn_from_every_loss(answer: bool, listwise: bool, marked: Build) -> None:
    llara = stirred(marked("llama"))
    prompts = [llara.encode_prompt(h, c) for h, c in zip(HISTORIES, CANDIDATES, strict=True)]
    answers = [llara.encoder.answer_tokens(items[0]) for items in CANDIDATES]
    batch = collate(prompts, hybrid=[True, False, True], filler=llara.encoder.filler, answers=answers)
    output = llara(batch, answer=answer, listwise=listwise)
    (output.answer_log_probs if answer else output.listwise).sum().backward()
    gradient = llara.part_vectors.grad
    assert gradient is not None
    assert gradient.any(dim=1).tolist() == [True, True]
