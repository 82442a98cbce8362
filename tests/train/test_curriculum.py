import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.errors import ConfigError
from llara.train import CurriculumConfig, draw_hybrid, hybrid_probability

EPOCHS, STEPS_PER_EPOCH = 5, 100
TOTAL = EPOCHS * STEPS_PER_EPOCH


def probabilities(**settings: Any) -> np.ndarray:
    config = CurriculumConfig(**settings)
    return np.array(
        [
            hybrid_probability(step, total_steps=TOTAL, steps_per_epoch=STEPS_PER_EPOCH, config=config)
            for step in range(TOTAL)
        ]
    )


def test_paper_rises_with_the_step_over_all_epochs() -> None:
    np.testing.assert_allclose(probabilities()[[0, 1, 100, 250, 499]], [0.0, 0.002, 0.2, 0.5, 0.998])


def test_released_code_starts_again_each_epoch_and_stays_mostly_text_only() -> None:
    p = probabilities(kind="released-code")
    np.testing.assert_allclose(p[[0, 50, 99, 100, 199, 499]], [0.0, 0.1, 0.198, 0.0, 0.198, 0.198])
    assert p.max() < 1 / EPOCHS
    assert p.mean() == pytest.approx(0.099)
    np.testing.assert_allclose(p.reshape(EPOCHS, -1), np.tile(p[:STEPS_PER_EPOCH], (EPOCHS, 1)))


def test_direct_is_always_hybrid_and_text_only_never() -> None:
    assert set(probabilities(kind="direct")) == {1.0}
    assert set(probabilities(kind="text-only")) == {0.0}


def test_two_stage_switches_after_two_of_five_epochs() -> None:
    p = probabilities(kind="two-stage")
    assert set(p[:200]) == {0.0}
    assert set(p[200:]) == {1.0}
    assert probabilities(kind="two-stage", first_stage_fraction=0.0)[0] == 1.0


def test_warmup_keeps_the_first_steps_text_only_and_the_ramp_still_ends_at_one() -> None:
    p = probabilities(warmup_fraction=0.2)
    assert set(p[:101]) == {0.0}
    np.testing.assert_allclose(p[[101, 300, 499]], [1 / 400, 0.5, 399 / 400])


def test_ramp_fraction_reaches_one_early_and_stays_there() -> None:
    p = probabilities(warmup_fraction=0.2, ramp_fraction=0.5)  # ramp over steps 100..300
    np.testing.assert_allclose(p[[100, 200, 300, 301, 499]], [0.0, 0.5, 1.0, 1.0, 1.0])


def test_shapes_agree_with_their_formulas_a_quarter_and_half_way() -> None:
    np.testing.assert_allclose(probabilities(shape="square-root")[[125, 250]], [0.5, math.sqrt(0.5)])
    np.testing.assert_allclose(
        probabilities(shape="cosine")[[125, 250]], [0.5 - 0.5 * math.cos(math.pi / 4), 0.5], atol=1e-12
    )


curricula = st.builds(
    CurriculumConfig,
    kind=st.sampled_from(["paper", "released-code", "direct", "two-stage", "text-only"]),
    warmup_fraction=st.floats(0, 0.99),
    ramp_fraction=st.floats(0.01, 1),
    shape=st.sampled_from(["linear", "cosine", "square-root"]),
    first_stage_fraction=st.floats(0, 1),
)


@given(config=curricula, steps_per_epoch=st.integers(1, 30), epochs=st.integers(1, 5))
def test_probabilities_are_in_zero_to_one_and_only_the_released_code_ever_falls(
    config: CurriculumConfig, steps_per_epoch: int, epochs: int
) -> None:
    total = steps_per_epoch * epochs
    p = [
        hybrid_probability(step, total_steps=total, steps_per_epoch=steps_per_epoch, config=config)
        for step in range(total)
    ]
    assert all(0.0 <= value <= 1.0 for value in p)
    if config.kind != "released-code":
        assert all(later >= earlier for earlier, later in pairwise(p))


@given(
    rows=st.lists(st.integers(0, 10_000), min_size=2, max_size=12, unique=True),
    step=st.integers(0, 5000),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_a_draw_depends_on_seed_step_and_row_alone(rows: list[int], step: int, seed: int, data: st.DataObject) -> None:
    def drawn(order: list[int]) -> dict[int, bool]:
        hybrid = draw_hybrid(np.array(order), step, probability=0.5, seed=seed)
        return dict(zip(order, hybrid.tolist(), strict=True))

    together = drawn(rows)
    assert drawn(data.draw(st.permutations(rows))) == together
    assert {row: drawn([row])[row] for row in rows} == together


def test_steps_seeds_and_rows_draw_apart() -> None:
    rows = np.arange(200)
    base = draw_hybrid(rows, 3, probability=0.5, seed=1)
    assert (base != draw_hybrid(rows, 4, probability=0.5, seed=1)).any()
    assert (base != draw_hybrid(rows, 3, probability=0.5, seed=2)).any()
    assert 0 < base.sum() < 200


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_share_of_hybrid_examples_is_the_probability(probability: float) -> None:
    count = 4000
    share = draw_hybrid(np.arange(count), 17, probability=probability, seed=0).mean()
    assert abs(share - probability) <= 4 * math.sqrt(probability * (1 - probability) / count)


def test_one_draw_per_batch_makes_a_batch_all_hybrid_or_all_text_only() -> None:
    rows = np.arange(16)
    batches = [draw_hybrid(rows, step, probability=0.3, seed=5, per_batch=True) for step in range(400)]
    assert all(len(set(batch.tolist())) == 1 for batch in batches)
    assert np.mean([batch[0] for batch in batches]) == pytest.approx(0.3, abs=0.09)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "papers"),
        ("shape", "logistic"),
        ("warmup_fraction", 1.0),
        ("warmup_fraction", -0.1),
        ("ramp_fraction", 0.0),
        ("ramp_fraction", 1.1),
        ("first_stage_fraction", 1.5),
    ],
)
def test_a_wrong_setting_is_refused_by_its_full_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"train\.curriculum\.{key} must be .*{value}"):
        CurriculumConfig(**{key: value})  # type: ignore[arg-type]
