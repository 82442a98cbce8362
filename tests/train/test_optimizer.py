import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.errors import ConfigError
from llara.model import Llara
from llara.train import OptimizerConfig, learning_rate
from llara.train.optimizer import build_optimizer, set_learning_rate


def rate(step: int, total: int = 100, **settings: Any) -> float:
    return learning_rate(step, total_steps=total, config=OptimizerConfig(**{"learning_rate": 1.0, **settings}))


def test_the_rate_starts_and_ends_at_a_hundredth_and_peaks_after_five_percent() -> None:
    assert rate(0) == pytest.approx(0.01)
    assert rate(1) == pytest.approx(0.01 + 0.99 / 5)
    assert rate(5) == pytest.approx(1.0)
    assert rate(52) == pytest.approx(0.505)  # half of the way from step 5 to step 99
    assert rate(99) == pytest.approx(0.01)


def test_without_warmup_it_is_a_cosine_from_the_peak() -> None:
    third = 0.2 + 0.8 * (0.5 + 0.5 * math.cos(math.pi / 3))
    assert [rate(step, 4, warmup_fraction=0.0, floor_ratio=0.2) for step in (0, 1, 3)] == pytest.approx([1, third, 0.2])


@given(total=st.integers(1, 400), floor=st.floats(0, 1), warmup=st.floats(0, 0.99))
def test_the_rate_stays_between_floor_and_peak_and_rises_before_it_falls(
    total: int, floor: float, warmup: float
) -> None:
    rates = [rate(step, total, floor_ratio=floor, warmup_fraction=warmup) for step in range(total)]
    assert min(rates) >= floor - 1e-12
    assert max(rates) <= 1.0 + 1e-12
    top = int(np.argmax(rates))
    assert (np.diff(rates[: top + 1]) >= -1e-12).all()
    assert (np.diff(rates[top:]) <= 1e-12).all()


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_every_trained_weight_is_in_exactly_one_group_with_its_decay(
    tuning: str, tiny_llara: Callable[..., Llara]
) -> None:
    llara = tiny_llara(tuning=tuning, part_vectors=True)
    config = OptimizerConfig(weight_decay=0.3, projector_weight_decay=0.2)
    optimizer = build_optimizer(llara, config)
    decay = [(id(p), group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(key for key, _ in decay) == sorted(id(p) for p in llara.trainable().values())
    expected = {
        id(p): 0.2 if name.startswith(("projector.", "placeholder", "part_vectors")) else 0.3 if p.ndim > 1 else 0.0
        for name, p in llara.trainable().items()
    }
    assert dict(decay) == expected
    assert {0.2, 0.3} <= set(expected.values())
    assert (0.0 in expected.values()) == (tuning == "full")  # norms


def test_the_rate_is_set_in_all_groups(tiny_llara: Callable[..., Llara]) -> None:
    optimizer = build_optimizer(tiny_llara(), OptimizerConfig())
    set_learning_rate(optimizer, 0.125)
    assert {group["lr"] for group in optimizer.param_groups} == {0.125}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 0.0),
        ("floor_ratio", 1.5),
        ("warmup_fraction", 1.0),
        ("weight_decay", -0.5),
        ("projector_weight_decay", -0.5),
        ("max_gradient_norm", 0.0),
    ],
)
def test_a_wrong_optimizer_setting_is_refused_by_its_full_key(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"train\.optimizer\.{key} must be .*{value}"):
        OptimizerConfig(**{key: value})
