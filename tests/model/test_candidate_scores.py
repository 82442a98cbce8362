"""Prompts that say how probable the recommender finds each candidate: a named option, off by default."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llara.data import Catalog
from llara.model import Llara, score_candidates
from llara.model.backbone import causal_lm, input_embeddings
from llara.prompt import collate
from llara.recommender import SASRec

HISTORIES = [[3, 8, 20], [1, 2, 3, 9, 13, 14, 15, 16], [11]]
CANDIDATES = [[1, 2, 3, 9, 4], [5, 4, 19, 2, 1], [24, 9, 10, 11, 7]]
Build = Callable[..., Llara]


@pytest.fixture
def telling(build: Build, tiny_catalog: Catalog, sasrec: SASRec, stir: Callable[[Llara], Llara]) -> Build:
    """As `build`, with the option on and every weight moved a little."""

    def make(shape: str = "nano") -> Llara:
        config = replace(build(shape).config, candidate_scores=True)
        return stir(Llara.from_backbone(config.backbone, sasrec, tiny_catalog, config=config)).eval()

    return make


def judgment(llara: Llara, row: int) -> torch.Tensor:
    """What a prompt tells of each candidate: half its log-probability above a blind guess, [C]."""
    asked = torch.tensor([HISTORIES[row]]), torch.tensor([CANDIDATES[row]])
    with torch.no_grad():
        scores: torch.Tensor = llara.recommender.score(*asked)[0]
        return (scores.log_softmax(dim=0) + float(np.log(len(CANDIDATES[row])))) / 2


def embedded(llara: Llara, row: int, *, hybrid: bool, prior: torch.Tensor | None = None) -> torch.Tensor:
    prompt = llara.encode_prompt(HISTORIES[row], CANDIDATES[row])
    with torch.no_grad():
        return llara.embed(collate([prompt], hybrid=[hybrid], filler=llara.encoder.filler), prior=prior)[0]


def test_it_is_off_unless_asked_for(build: Build) -> None:
    llara = build()
    assert llara.score_vector is None
    assert "score_vector" not in llara.state_dict()


@pytest.mark.parametrize("given", [None, [0.1, 0.2, 0.3, 0.15, 0.25]], ids=["own", "given"])
def test_each_candidate_tells_its_probability_and_nothing_else_does(telling: Build, given: list[float] | None) -> None:
    llara = telling()
    prior = None if given is None else torch.tensor([given]).log()
    found = {hybrid: embedded(llara, 0, hybrid=hybrid, prior=prior) for hybrid in (True, False)}
    vector = llara.score_vector
    assert vector is not None
    told = judgment(llara, 0) if prior is None else (prior[0] + np.log(5)) / 2
    with torch.no_grad():
        expected = told[:, None] * vector
        vector.zero_()
    difference = found[True] - embedded(llara, 0, hybrid=True, prior=prior)
    places = llara.encode_prompt(HISTORIES[0], CANDIDATES[0]).candidate_positions
    torch.testing.assert_close(difference[places], expected, atol=1e-5, rtol=1e-5)
    assert expected.abs().max() > 0.01
    difference[places] = 0.0
    assert not difference.any()
    assert torch.equal(found[False], embedded(llara, 0, hybrid=False, prior=prior))


@torch.inference_mode()
def one_by_one(llara: Llara, row: int) -> list[float]:
    """The reference: one plain pass of the whole language model per candidate, prompt and answer in a row."""
    prompt = llara.encode_prompt(HISTORIES[row], CANDIDATES[row])
    found = []
    for item in CANDIDATES[row]:
        answer = list(llara.encoder.answer_tokens(item))
        vectors = input_embeddings(llara.model)(torch.tensor([[*prompt.token_ids, *answer]]))
        for position, shown in zip(prompt.slot_positions, prompt.slot_items, strict=True):
            vectors[0, position] = llara.projector(llara.item_table[shown])
        for position, told in zip(prompt.candidate_positions, judgment(llara, row), strict=True):
            vectors[0, position] += told * llara.score_vector
        log_probs = causal_lm(llara.model)(inputs_embeds=vectors, use_cache=False).logits[0].float().log_softmax(-1)
        start = len(prompt.token_ids)
        found.append(sum(float(log_probs[start + place - 1, token]) for place, token in enumerate(answer)))
    return found


@pytest.mark.parametrize("shape", ["nano", "llama", "gpt2"])
def test_exact_scores_equal_one_forward_pass_per_candidate(telling: Build, shape: str) -> None:
    llara = telling(shape)
    found = score_candidates(llara, HISTORIES, CANDIDATES, batch_size=2)
    np.testing.assert_allclose(found, [one_by_one(llara, row) for row in range(3)], atol=1e-4, rtol=0)


@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_rows_that_share_their_beginning_score_as_single_rows(telling: Build, scorer: str) -> None:
    llara = telling()
    rng = np.random.default_rng(4)
    candidates = [(rng.permutation(24)[:5] + 1).tolist() for _ in range(9)]
    together = score_candidates(llara, [HISTORIES[1]] * 9, candidates, scorer=scorer)  # type: ignore[arg-type]
    single = [score_candidates(llara, [HISTORIES[1]], [row], scorer=scorer)[0] for row in candidates]  # type: ignore[arg-type]
    np.testing.assert_allclose(together, single, atol=2e-5, rtol=1e-6)


def test_the_vector_survives_a_round_trip(telling: Build, tmp_path: Path) -> None:
    llara = telling()
    llara.save_pretrained(tmp_path)
    opened = Llara.from_pretrained(tmp_path)
    assert opened.score_vector is not None
    assert torch.equal(opened.score_vector, llara.score_vector)  # type: ignore[arg-type]
    assert "score_vector" in opened.trainable()
    ours, theirs = (score_candidates(model, HISTORIES, CANDIDATES) for model in (llara, opened))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
