"""Weights of head and prior."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.evaluate import PriorWeights, fit_prior_weights


def sampled(head_weight: float, prior_weight: float, *, rows: int, seed: int) -> tuple[np.ndarray, ...]:
    """Targets drawn from the softmax of a known mixture."""
    rng = np.random.default_rng(seed)
    head, prior = rng.normal(size=(rows, 5)), rng.normal(size=(rows, 5))
    scores = head_weight * head + prior_weight * prior + rng.gumbel(size=(rows, 5))
    return head, prior, scores.argmax(axis=1)


def test_fit_recovers_the_mixture_that_made_the_targets() -> None:
    head, prior, target = sampled(0.5, 2.0, rows=20_000, seed=0)
    weights = fit_prior_weights(head, prior, target, learned=1.0)
    assert weights.head == pytest.approx(0.5, abs=0.05)
    assert weights.prior == pytest.approx(2.0, abs=0.1)


def test_a_useless_head_gets_no_weight() -> None:
    head, prior, target = sampled(-1.0, 1.5, rows=2_000, seed=1)
    assert fit_prior_weights(head, prior, target, learned=1.0).head == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("head", "prior", "said"),
    [
        (1.45, 0.66, "1.45 × the language model's score + 0.66 × SASRec's log-probability"),
        (0.0, 0.66, "weight came out as 0.00. This hybrid LLaRA is SASRec alone"),
        (1.45, 0.004, "weight came out as 0.00. This hybrid LLaRA is the language model alone"),
        (0.0, 0.0, "says nothing"),
    ],
)
def test_weights_are_said_in_words(head: float, prior: float, said: str) -> None:
    assert said in PriorWeights(head, prior, 2.0, 1.0).in_words("SASRec")


def test_weights_are_read_as_they_were_saved(tmp_path: Path) -> None:
    weights = PriorWeights(1.45, 0.66, 2.5, 2.0)
    weights.save(tmp_path / "calibration.json")
    assert PriorWeights.load(tmp_path / "calibration.json") == weights


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_fitted_weights_are_never_worse_on_their_rows(seed: int, learned: float) -> None:
    head, prior, target = sampled(1.0, 1.0, rows=40, seed=seed)
    weights = fit_prior_weights(head, prior, target, learned=learned)
    assert weights.loss_after <= weights.loss_before + 1e-9
    assert min(weights.head, weights.prior) >= 0.0
