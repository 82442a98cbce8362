"""The recommender's own judgment as a part of the listwise score: a named option, off by default."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llara.data import Catalog
from llara.model import Llara, LlaraConfig, score_candidates
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
