"""A run that leaves the finite numbers stops, says where and what to lower, and keeps what was good."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from llara.data import Catalog, Examples
from llara.errors import DivergenceError
from llara.model import AdaptConfig, BackboneConfig, Llara, NanoConfig, adapt_backbone
from llara.recommender import SASRec
from llara.train import (
    CurriculumConfig,
    ObjectiveConfig,
    OptimizerConfig,
    Phase,
    PracticeConfig,
    TrainConfig,
    Trainer,
    practise,
)
from llara.train.state import trained_weights
from tests.train.given_prior import GivenPrior

Build = Callable[..., Llara]
MakeExamples = Callable[[int], Examples]
CONFIG = TrainConfig(
    epochs=2,  # of 3 steps
    batch_size=4,
    micro_batch_size=4,
    num_negatives=4,
    validations=3,  # after 2, 4 and 6 steps
    objective=ObjectiveConfig(name="listwise"),
    curriculum=CurriculumConfig(kind="direct"),
)


def nan_from_call(call: int) -> GivenPrior:
    """A prior that is no number from its so-many-th micro-batch on, counted from 0."""
    calls = 0

    def prior(_: Examples, candidates: np.ndarray) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.full(candidates.shape, float("nan") if calls > call else 0.0)

    return GivenPrior(prior)


def trainer(llara: Llara, examples: Examples, folder: Path | None = None, **changed: Any) -> Trainer:
    options = {"config": CONFIG, "validate": lambda _: 0.5, "folder": folder}
    return Trainer(llara, examples, **{**options, **changed})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_loss_that_is_no_number_stops_the_run_at_its_step(
    tiny_llara: Build, make_examples: MakeExamples, tmp_path: Path
) -> None:
    llara = tiny_llara(recommender_prior=True)
    kept: dict[str, bytes] = {}
    weights: list[dict[str, Tensor]] = []

    def on_step(record: Any) -> None:
        if record.step == 1:  # its validation is the last one before the fall
            kept.update(contents(tmp_path / "checkpoints"))
            weights.append(trained_weights(llara))

    run = trainer(llara, make_examples(12), tmp_path, prior=nan_from_call(3), on_step=on_step)
    with pytest.raises(DivergenceError, match="step 4 of 6: the loss is nan") as caught:
        run.train()
    for part in ("train.optimizer.learning_rate (now 0.0008)", "max_gradient_norm (now 1.0)", "float32", "untouched"):
        assert part in str(caught.value)
    assert kept
    assert contents(tmp_path / "checkpoints") == kept
    for name, weight in trained_weights(llara).items():
        assert torch.equal(weight, weights[0][name]), name


def test_the_checkpoint_before_a_divergence_resumes_to_what_a_healthy_run_gives(
    tiny_llara: Build, make_examples: MakeExamples, tmp_path: Path
) -> None:
    examples = make_examples(12)
    healthy = tiny_llara(recommender_prior=True)
    trainer(healthy, examples, prior=nan_from_call(99)).train()
    with pytest.raises(DivergenceError):
        trainer(tiny_llara(recommender_prior=True), examples, tmp_path, prior=nan_from_call(3)).train()
    resumed = tiny_llara(recommender_prior=True)
    report = trainer(resumed, examples, tmp_path, prior=nan_from_call(99)).train(resume=True)
    assert report.steps == 6
    for name, weight in trained_weights(resumed).items():
        assert torch.equal(weight, trained_weights(healthy)[name]), name


def test_gradients_that_are_no_numbers_stop_the_run_before_they_reach_a_weight(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    llara = tiny_llara()
    llara.head.weight.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    before = trained_weights(llara)
    with pytest.raises(DivergenceError, match=r"step 1 of 6: the norm of the gradients is (nan|inf)"):
        trainer(llara, make_examples(12)).train()
    for name, weight in trained_weights(llara).items():
        assert torch.equal(weight, before[name]), name


def test_weights_that_the_last_step_broke_are_never_validated_or_kept(
    tiny_llara: Build, make_examples: MakeExamples, tmp_path: Path
) -> None:
    llara = tiny_llara()
    optimizer = OptimizerConfig(learning_rate=1e39, warmup_fraction=0.0)  # beyond float32
    config = TrainConfig(
        epochs=1, batch_size=12, micro_batch_size=12, num_negatives=4, validations=1,
        objective=ObjectiveConfig(name="listwise"), optimizer=optimizer,
    )  # fmt: skip
    asked: list[Llara] = []
    run = trainer(llara, make_examples(12), tmp_path, config=config, validate=lambda model: float(len(asked)))
    with pytest.raises(DivergenceError, match=r"step 1 of 1: weight '.*' holds NaN or infinity.*learning_rate"):
        run.train()
    assert not (tmp_path / "checkpoints").exists()
    assert all(torch.isfinite(weight).all() for weight in trained_weights(llara).values())


def test_a_first_loss_that_is_no_number_is_not_blamed_on_the_learning_rate(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    llara = tiny_llara(recommender_prior=True)
    with pytest.raises(DivergenceError, match="step 1 of 6: the loss is nan") as caught:
        trainer(llara, make_examples(12), prior=nan_from_call(0)).train()
    assert "learning_rate" not in str(caught.value)
    assert "backbone.precision" in str(caught.value)


def test_diverging_practice_names_its_own_learning_rate(tiny_llara: Build) -> None:
    config = PracticeConfig(
        steps=4, batch_size=4, learning_rate=1e39, phases=(Phase(share=1, history=1, candidates=2),)
    )
    with pytest.raises(DivergenceError, match=r"of practice phase 1: .*practice\.learning_rate \(now 1e\+39\)"):
        practise(tiny_llara(), config, objective=ObjectiveConfig(name="listwise"), seed=0)


def adapted(frozen_sasrec: SASRec, catalog: Catalog, **changed: Any) -> Llara:
    nano = NanoConfig(hidden_size=32, num_layers=1, num_heads=2, vocabulary=400)
    adapt = AdaptConfig(block_tokens=32, batch_size=2, **changed)
    return Llara.from_backbone(BackboneConfig(nano=nano, adapt=adapt, precision="float32"), frozen_sasrec, catalog)


def test_a_diverging_adaptation_stops_and_names_its_own_learning_rate(
    frozen_sasrec: SASRec, tiny_catalog: Catalog
) -> None:
    found = r"step 2 of 3 of backbone\.adapt: the loss is nan.*backbone\.adapt\.learning_rate \(now 1e\+37\)"
    with pytest.raises(DivergenceError, match=found):
        adapted(frozen_sasrec, tiny_catalog, steps=3, learning_rate=1e37)


def test_an_adaptation_whose_last_step_broke_a_weight_is_refused(tiny_llara: Build, tiny_catalog: Catalog) -> None:
    llara = tiny_llara(tuning="full")

    def break_a_weight(_: int, __: float) -> None:
        with torch.no_grad():
            next(iter(llara.model.parameters()))[0, 0] = float("inf")

    config = AdaptConfig(steps=1, block_tokens=32, batch_size=2)
    with pytest.raises(DivergenceError, match=r"step 1 of 1 of backbone\.adapt: weight '.*' holds NaN or infinity"):
        adapt_backbone(llara.model, llara.encoder, tiny_catalog, config=config, seed=0, on_step=break_a_weight)


def test_a_trained_model_is_freed_with_its_trainer(tiny_llara: Build, make_examples: MakeExamples) -> None:
    run = trainer(tiny_llara(), make_examples(12))
    run.train()
    gone = weakref.ref(run.llara)
    del run
    gc.collect()
    assert gone() is None
