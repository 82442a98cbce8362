"""The recommender's own judgment as a part of the listwise score: a named option, off by default."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llara.data import Catalog
from llara.model import Llara, LlaraConfig, score_candidates
from llara.prompt import PromptBatch, collate
from llara.recommender import SASRec

HISTORIES, CANDIDATES = [[3, 8, 20], [11]], [[1, 2, 9, 4], [5, 19, 2, 1]]


@pytest.fixture
def pair(build: Callable[..., Llara], tiny_catalog: Catalog, sasrec: SASRec) -> tuple[Llara, Llara]:
    """The same model without and with the option."""
    plain = build()
    config: LlaraConfig = replace(plain.config, recommender_prior=True)
    return plain, Llara.from_backbone(config.backbone, sasrec, tiny_catalog, config=config)


def listwise(llara: Llara, *, hybrid: bool = True, batch_size: int = 4) -> np.ndarray:
    return score_candidates(llara, HISTORIES, CANDIDATES, scorer="listwise", hybrid=hybrid, batch_size=batch_size)


def test_it_adds_the_weighted_log_probability_among_the_candidates(pair: tuple[Llara, Llara]) -> None:
    plain, with_prior = pair
    with torch.no_grad():
        with_prior.prior_weight.fill_(0.5)
        expected = [
            0.5 * plain.recommender.score(torch.tensor([h]), torch.tensor([c])).log_softmax(-1)[0].numpy()
            for h, c in zip(HISTORIES, CANDIDATES, strict=True)
        ]
    np.testing.assert_allclose(listwise(with_prior) - listwise(plain), expected, atol=1e-5)
    np.testing.assert_allclose(listwise(with_prior, batch_size=1), listwise(with_prior), atol=1e-5)


def test_text_only_rows_and_answer_scores_do_not_see_it(pair: tuple[Llara, Llara]) -> None:
    plain, with_prior = pair
    np.testing.assert_allclose(listwise(with_prior, hybrid=False), listwise(plain, hybrid=False), atol=1e-6)
    answers = [score_candidates(llara, HISTORIES, CANDIDATES) for llara in pair]
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)


def test_only_its_weight_is_learned_and_only_if_asked_for(pair: tuple[Llara, Llara]) -> None:
    plain, with_prior = pair
    assert set(with_prior.trainable()) - set(plain.trainable()) == {"prior_weight"}


def test_it_survives_a_round_trip(pair: tuple[Llara, Llara], tmp_path: Path) -> None:
    _, llara = pair
    with torch.no_grad():
        llara.prior_weight.fill_(0.3)
    llara.save_pretrained(tmp_path)
    np.testing.assert_allclose(listwise(Llara.from_pretrained(tmp_path)), listwise(llara), atol=1e-6)


def mixed_batch(llara: Llara) -> PromptBatch:
    """A hybrid row, a text-only row, and a hybrid row with fewer candidates."""
    rows = [([3, 8, 20], [1, 2, 9, 4]), ([11], [5, 19, 2, 1]), ([7, 6], [12, 13])]
    prompts = [llara.encode_prompt(history, candidates) for history, candidates in rows]
    return collate(prompts, hybrid=[True, False, True], filler=llara.encoder.filler)


def forward(llara: Llara, prior: torch.Tensor | None) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = llara(mixed_batch(llara), answer=False, prior=prior).listwise
    return scores


PRIOR = torch.tensor([
    [-1.0, -2.0, -0.5, -3.0], [-9.0, -8.0, -7.0, -6.0], [-0.1, -4.0, float("-inf"), float("nan")]
])  # fmt: skip


def test_a_given_prior_takes_the_place_of_the_recommenders_own(pair: tuple[Llara, Llara]) -> None:
    plain, with_prior = pair
    with torch.no_grad():
        with_prior.prior_weight.fill_(0.5)
    added = forward(with_prior, PRIOR)[:, :2] - forward(plain, None)[:, :2]
    expected = 0.5 * PRIOR[:, :2] * torch.tensor([[1.0], [0.0], [1.0]])  # nothing in the text-only row
    torch.testing.assert_close(added, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        forward(with_prior, PRIOR)[:2, 2:] - forward(plain, None)[:2, 2:],
        0.5 * PRIOR[:2, 2:] * torch.tensor([[1.0], [0.0]]), atol=1e-5, rtol=0,
    )  # fmt: skip
    assert forward(with_prior, PRIOR)[2, 2:].tolist() == [float("-inf")] * 2  # no candidates there, whatever is given


def test_the_recommenders_own_judgment_can_be_given_too(pair: tuple[Llara, Llara]) -> None:
    _, with_prior = pair
    batch = mixed_batch(with_prior)
    with torch.no_grad():
        own = with_prior.recommender.score(batch.history_items, batch.candidate_items).log_softmax(-1)
    torch.testing.assert_close(forward(with_prior, own), forward(with_prior, None))


def test_a_model_without_the_option_reads_no_prior(pair: tuple[Llara, Llara]) -> None:
    plain, _ = pair
    assert torch.equal(forward(plain, PRIOR), forward(plain, None))


def test_the_weight_learns_from_the_given_prior(pair: tuple[Llara, Llara]) -> None:
    _, llara = pair
    scores = llara(mixed_batch(llara), answer=False, prior=PRIOR).listwise
    scores[scores.isfinite()].sum().backward()
    gradient = llara.prior_weight.grad
    assert gradient is not None
    assert float(gradient) == pytest.approx(float(PRIOR[0].sum() + PRIOR[2, :2].sum()), abs=1e-4)
