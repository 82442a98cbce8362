from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from llara.data import Examples
from llara.errors import ConfigError, DataError
from llara.model import Llara, score_candidates
from llara.prompt import PromptConfig
from llara.train import (
    CurriculumConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StepRecord,
    TrainConfig,
    Trainer,
    draw_hybrid,
    learning_rate,
    read_metrics,
)
from llara.train.state import trained_weights
from tests.train.given_prior import GivenPrior

Build = Callable[..., Llara]
MakeExamples = Callable[[int], Examples]


def settings(**changed: Any) -> TrainConfig:
    """5 steps an epoch over 20 rows, 5 candidates a row."""
    usual: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 4,
        "micro_batch_size": 4,
        "num_negatives": 4,
        "objective": ObjectiveConfig(name="listwise"),
    }
    return TrainConfig(**{**usual, **changed})


def always_zero(_: Llara) -> float:
    return 0.0


def scripted(*scores: float) -> Callable[[Llara], float]:
    """A validation that returns these scores one after the other."""
    left: Iterator[float] = iter(scores)
    return lambda _: next(left)


def same(weights: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize(
    ("objective", "num_negatives", "peak"),
    # Candidates change each epoch: 19 of 19 to 21 unseen items are nearly the same ones again.
    [("listwise", 19, 3e-3), ("answer", 4, 5e-3)],
)
def test_one_batch_can_be_overfitted(
    objective: Any, num_negatives: int, peak: float, tiny_llara: Build, make_examples: MakeExamples
) -> None:
    prompt = PromptConfig(templates=("{history}{candidates}",))
    llara = tiny_llara(tuning="full", prompt=prompt, part_vectors=True)
    losses: list[float] = []
    config = settings(
        epochs=200,
        validations=1,
        num_negatives=num_negatives,
        objective=ObjectiveConfig(name=objective),
        curriculum=CurriculumConfig(kind="direct"),
        optimizer=OptimizerConfig(learning_rate=peak),
    )
    examples = make_examples(4)
    Trainer(
        llara, examples, config=config, validate=lambda _: 1.0, on_step=lambda record: losses.append(record.loss)
    ).train()
    assert losses[0] > 1.0
    assert max(losses[-5:]) < 0.1


def test_a_trained_model_knows_how_long_its_histories_were(tiny_llara: Build, make_examples: MakeExamples) -> None:
    llara, examples = tiny_llara(), make_examples(4)
    assert llara.history_length is None
    Trainer(llara, examples, config=TrainConfig(epochs=1, batch_size=4), validate=lambda _: 0.0).train()
    assert llara.history_length == examples.history.shape[1]


def test_two_micro_batches_of_four_teach_what_one_of_eight_does(tiny_llara: Build, make_examples: MakeExamples) -> None:
    weights, losses = [], []
    for micro_batch_size in (4, 8):
        llara, records = tiny_llara(), list[StepRecord]()
        config = settings(
            epochs=1,
            batch_size=8,
            micro_batch_size=micro_batch_size,
            validations=1,
            objective=ObjectiveConfig(name="sum"),
        )
        trainer = Trainer(llara, make_examples(24), config=config, validate=lambda _: 1.0, on_step=records.append)
        assert trainer.train().steps == 3
        weights.append(trained_weights(llara))
        losses.append([record.loss for record in records])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=0, atol=1e-5, msg=name)


def test_micro_batches_weigh_examples_alike_where_sizes_are_uneven(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    losses = []
    for micro_batch_size in (3, 8):  # 8 rows as 3 + 3 + 2
        records: list[StepRecord] = []
        config = settings(epochs=1, batch_size=8, micro_batch_size=micro_batch_size, validations=1)
        Trainer(tiny_llara(), make_examples(8), config=config, validate=always_zero, on_step=records.append).train()
        losses.append(records[0].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.fixture
def shown(
    tiny_llara: Build, make_examples: MakeExamples, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """History, candidates and template number of every prompt of a training run of three epochs."""
    llara = tiny_llara()
    prompts: list[tuple[tuple[int, ...], tuple[int, ...], int]] = []
    encode = llara.encode_prompt

    def noting(history: list[int], candidates: list[int], *, template: int = 0) -> Any:
        prompts.append((tuple(history), tuple(candidates), template % len(llara.encoder.templates)))
        return encode(history, candidates, template=template)

    monkeypatch.setattr(llara, "encode_prompt", noting)
    Trainer(llara, make_examples(20), config=settings(epochs=3), validate=always_zero).train()
    return prompts


def test_candidates_hold_the_target_once_and_never_the_history(
    shown: list[tuple[tuple[int, ...], tuple[int, ...], int]], make_examples: MakeExamples
) -> None:
    examples = make_examples(20)
    targets = dict(zip(map(tuple, examples.histories()), examples.target.tolist(), strict=True))
    assert len(shown) == 60
    for history, candidates, _ in shown:
        assert candidates.count(targets[history]) == 1
        assert len(set(candidates)) == 5
        assert not set(candidates) & set(history)


def test_each_epoch_draws_other_candidates(shown: list[tuple[tuple[int, ...], tuple[int, ...], int]]) -> None:
    sets: dict[tuple[int, ...], set[frozenset[int]]] = {}
    for history, candidates, _ in shown:
        sets.setdefault(history, set()).add(frozenset(candidates))
    assert len(sets) == 20
    assert np.mean([len(drawn) for drawn in sets.values()]) > 2.8


def test_templates_vary_over_the_rows_of_a_batch_and_over_epochs(
    shown: list[tuple[tuple[int, ...], tuple[int, ...], int]],
) -> None:
    batches = [{template for _, _, template in shown[start : start + 4]} for start in range(0, 60, 4)]
    assert np.mean([len(batch) > 1 for batch in batches]) > 0.7
    rows: dict[tuple[int, ...], set[int]] = {}
    for history, _, template in shown:
        rows.setdefault(history, set()).add(template)
    assert set().union(*rows.values()) == {0, 1, 2}
    assert np.mean([len(templates) for templates in rows.values()]) > 1.5


def test_validation_is_due_evenly_and_after_the_last_step(
    tiny_llara: Build, make_examples: MakeExamples, tmp_path: Path
) -> None:
    modes: list[bool] = []

    def validate(llara: Llara) -> float:
        modes.append(llara.training)
        return 0.5

    Trainer(tiny_llara(), make_examples(20), config=settings(), validate=validate, folder=tmp_path).train()
    measured = [record["step"] for record in read_metrics(tmp_path) if "validation_hit_ratio" in record]
    assert measured == [1, 3, 5, 7, 9]  # steps count from 0: after 2, 4, 6, 8 and 10 steps
    assert modes == [False] * 5


def test_more_validations_than_steps_validate_after_each_step(tiny_llara: Build, make_examples: MakeExamples) -> None:
    trainer = Trainer(tiny_llara(), make_examples(8), config=settings(epochs=1, validations=9), validate=always_zero)
    assert {1, 2} <= trainer.validate_after
    assert trainer.train().steps == 2


def test_metrics_hold_one_record_per_step_with_rate_and_curriculum(
    tiny_llara: Build, make_examples: MakeExamples, tmp_path: Path
) -> None:
    config = settings()
    trainer = Trainer(tiny_llara(), make_examples(20), config=config, validate=always_zero, folder=tmp_path)
    trainer.train()
    records = read_metrics(tmp_path)
    assert [record["step"] for record in records] == list(range(10))
    assert [record["hybrid_planned"] for record in records] == [step / 10 for step in range(10)]
    assert [record["learning_rate"] for record in records] == [
        learning_rate(step, total_steps=10, config=config.optimizer) for step in range(10)
    ]
    assert [record["hybrid_realized"] for record in records] == [
        draw_hybrid(trainer.plan.rows(step), step, probability=step / 10, seed=0).mean() for step in range(10)
    ]
    assert all(record["examples_per_second"] > 0 for record in records)
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_the_released_curriculum_draws_once_per_batch(tiny_llara: Build, make_examples: MakeExamples) -> None:
    records: list[StepRecord] = []
    config = settings(epochs=4, validations=1, curriculum=CurriculumConfig(kind="released-code"))
    Trainer(tiny_llara(), make_examples(20), config=config, validate=always_zero, on_step=records.append).train()
    assert [record.hybrid_planned for record in records] == [step % 5 / 20 for step in range(20)]
    assert {record.hybrid_realized for record in records} == {0.0, 1.0}


def test_the_scheduled_rate_is_the_one_that_moves_weights(tiny_llara: Build, make_examples: MakeExamples) -> None:
    llara = tiny_llara()
    heads = [llara.head.weight.detach().clone()]
    config = settings(optimizer=OptimizerConfig(learning_rate=0.02, floor_ratio=0.1))

    def on_step(_: StepRecord) -> None:
        heads.append(llara.head.weight.detach().clone())

    Trainer(llara, make_examples(20), config=config, validate=always_zero, on_step=on_step).train()
    # Adam's first update is the rate, whatever the gradient.
    assert float((heads[1] - heads[0]).abs().max()) == pytest.approx(0.002, rel=0.01)
    assert float((heads[2] - heads[1]).abs().max()) > 0.005


def test_the_best_weights_are_restored_at_the_end(tiny_llara: Build, make_examples: MakeExamples) -> None:
    llara = tiny_llara()
    seen: list[dict[str, Tensor]] = []
    scores = iter([0.1, 0.9, 0.9, 0.3, 0.2])

    def validate(model: Llara) -> float:
        seen.append(trained_weights(model))
        return next(scores)

    report = Trainer(llara, make_examples(20), config=settings(), validate=validate).train()
    assert same(trained_weights(llara), seen[1])
    assert not same(seen[1], seen[2])
    assert (report.best_step, report.best_validation, report.steps) == (4, 0.9, 10)
    assert not report.stopped_early


def test_training_stops_after_so_many_validations_without_improvement(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    config = settings(patience=2)
    validate = scripted(0.5, 0.6, 0.6, 0.4, 0.9)
    report = Trainer(tiny_llara(), make_examples(20), config=config, validate=validate).train()
    assert (report.steps, report.best_step, report.stopped_early) == (8, 4, True)


def test_training_ends_where_it_is_enough_with_the_weights_of_that_step(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    asked: list[int] = []

    def enough(record: StepRecord) -> bool:
        asked.append(record.step)
        return record.step == 2

    validated: list[dict[str, Tensor]] = []

    def validate(model: Llara) -> float:
        validated.append(trained_weights(model))
        return 0.0

    llara = tiny_llara()
    before = trained_weights(llara)
    config = settings(validations=1)
    report = Trainer(llara, make_examples(20), config=config, validate=validate, enough=enough).train()
    assert asked == [0, 1, 2]
    assert (report.steps, report.best_step, report.stopped_early) == (3, 3, True)
    assert len(validated) == 1
    assert same(trained_weights(llara), validated[0])
    assert not same(trained_weights(llara), before)


def test_an_improvement_starts_patience_anew(tiny_llara: Build, make_examples: MakeExamples) -> None:
    validate = scripted(0.5, 0.4, 0.6, 0.4, 0.7)
    report = Trainer(tiny_llara(), make_examples(20), config=settings(patience=2), validate=validate).train()
    assert (report.steps, report.best_step, report.stopped_early) == (10, 10, False)


def test_the_recommender_stays_frozen_and_everything_else_that_is_asked_learns(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    llara = tiny_llara()
    before = {name: value.clone() for name, value in llara.state_dict().items()}
    table = llara.item_table.clone()
    config = settings(objective=ObjectiveConfig(name="sum"), optimizer=OptimizerConfig(warmup_fraction=0.0))
    Trainer(llara, make_examples(20), config=config, validate=scripted(0.1, 0.2, 0.3, 0.4, 0.5)).train()
    assert torch.equal(llara.item_table, table)
    changed = {name for name, value in llara.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(llara.trainable())
    assert not any(parameter.requires_grad for parameter in llara.recommender.parameters())


def test_the_same_seed_trains_the_same_model_and_another_seed_another(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    trained = []
    for seed in (0, 0, 1):
        llara = tiny_llara(dropout=0.2)
        Trainer(llara, make_examples(20), config=settings(seed=seed, validations=1), validate=lambda _: 1.0).train()
        trained.append(trained_weights(llara))
        torch.rand(seed + 5)  # what others draw in between has no influence
    assert same(trained[0], trained[1])
    assert not same(trained[0], trained[2])


def test_dropout_differs_by_step_and_micro_batch(tiny_llara: Build, make_examples: MakeExamples) -> None:
    llara = tiny_llara(dropout=0.5)
    seeds: list[int] = []

    def noting(_: torch.nn.Module, __: Any) -> None:
        seeds.append(torch.initial_seed())

    handle = llara.register_forward_pre_hook(noting)
    config = settings(epochs=1, micro_batch_size=2, validations=1)
    Trainer(llara, make_examples(20), config=config, validate=always_zero).train()
    handle.remove()
    assert len(seeds) == len(set(seeds)) == 10


def test_a_validation_that_scores_with_the_model_finds_its_best_again_at_the_end(
    tiny_llara: Build, make_examples: MakeExamples
) -> None:
    examples = make_examples(20)

    def validate(llara: Llara) -> float:
        items = [[target, *({1, 2, 3, 4} - {target})][:4] for target in examples.target.tolist()]
        scores = score_candidates(llara, examples.histories(), items, scorer="listwise")
        return float((scores.argmax(axis=1) == 0).mean())

    seen: list[float | None] = []
    config = settings(optimizer=OptimizerConfig(learning_rate=0.03))
    llara = tiny_llara()
    report = Trainer(
        llara,
        examples,
        config=config,
        validate=validate,
        on_step=lambda record: seen.append(record.validation_hit_ratio),
    ).train()
    measured = [score for score in seen if score is not None]
    assert len(set(measured)) > 1
    assert measured[-1] < max(measured)  # or keeping the last weights would do
    assert report.best_validation == max(measured) == validate(llara)


@pytest.mark.parametrize("limit", [1e-3, 0.1])
def test_gradients_are_clipped_to_the_norm_asked_for(
    limit: float, tiny_llara: Build, make_examples: MakeExamples
) -> None:
    llara = tiny_llara()
    norms: list[float] = []

    def noting(*_: Any) -> None:
        gradients = [weight.grad for weight in llara.trainable().values() if weight.grad is not None]
        norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))

    handle = register_optimizer_step_pre_hook(noting)
    try:
        config = settings(optimizer=OptimizerConfig(max_gradient_norm=limit))
        Trainer(llara, make_examples(20), config=config, validate=always_zero).train()
    finally:
        handle.remove()
    assert norms == pytest.approx([limit] * 10, rel=1e-3)


def first_loss(llara: Llara, examples: Examples, prior: GivenPrior | None, **changed: Any) -> float:
    """Loss of the first step, of hybrid prompts, in micro-batches of two."""
    losses: list[float] = []
    config = settings(
        epochs=1, micro_batch_size=2, validations=1, curriculum=CurriculumConfig(kind="direct"), **changed
    )
    Trainer(
        llara, examples, config=config, validate=always_zero, prior=prior,
        on_step=lambda record: losses.append(record.loss),
    ).train()  # fmt: skip
    return losses[0]


def test_a_given_prior_reaches_the_loss(tiny_llara: Build, make_examples: MakeExamples) -> None:
    def toward(sign: float) -> GivenPrior:
        def prior(rows: Examples, candidates: np.ndarray) -> Tensor:
            return (sign * 2.0 * (torch.from_numpy(candidates) == torch.from_numpy(rows.target)[:, None])).log_softmax(
                -1
            )

        return GivenPrior(prior)

    def loss(prior: GivenPrior | None, **option: bool) -> float:
        return first_loss(tiny_llara(**option), make_examples(4), prior)

    helped, again, misled, own = (
        loss(prior, recommender_prior=True) for prior in (toward(1.0), toward(1.0), toward(-1.0), None)
    )
    assert helped == again
    assert helped < own - 0.1
    assert misled > own + 0.1
    assert loss(toward(1.0)) == loss(None)  # a model without that option reads no prior


def test_the_recommenders_own_judgment_as_prior_changes_nothing(tiny_llara: Build, make_examples: MakeExamples) -> None:
    llara = tiny_llara(recommender_prior=True)

    def own(rows: Examples, candidates: np.ndarray) -> Tensor:
        with torch.no_grad():
            scores = llara.recommender.score(torch.from_numpy(rows.history), torch.from_numpy(candidates))
        return scores.log_softmax(-1)

    examples = make_examples(4)
    plain = first_loss(tiny_llara(recommender_prior=True), examples, None)
    assert first_loss(llara, examples, GivenPrior(own)) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("objective", ["answer", "listwise", "sum"])
def test_a_prior_is_asked_for_each_micro_batch_where_listwise_scores_are_trained(
    objective: Any, tiny_llara: Build, make_examples: MakeExamples
) -> None:
    asked: list[tuple[Examples, np.ndarray]] = []

    def prior(rows: Examples, candidates: np.ndarray) -> Tensor:
        asked.append((rows, candidates))
        return torch.zeros(candidates.shape)

    examples = make_examples(10)  # steps of 4, 4 and 2 rows in some order
    llara = tiny_llara(recommender_prior=True)
    first_loss(llara, examples, GivenPrior(prior), objective=ObjectiveConfig(name=objective))
    if objective == "answer":
        assert asked == []
        return
    assert [len(rows) for rows, _ in asked] == [2] * 5
    assert sorted(user for rows, _ in asked for user in rows.user_index.tolist()) == list(range(10))
    for rows, candidates in asked:
        assert candidates.shape == (2, 5)
        assert ((candidates == rows.target[:, None]).sum(axis=1) == 1).all()
        assert np.array_equal(rows.history, examples.select(rows.user_index).history)


def test_no_example_is_refused(tiny_llara: Build, make_examples: MakeExamples) -> None:
    with pytest.raises(ConfigError, match=r"no training example.*data\.split\.min_history"):
        Trainer(tiny_llara(), make_examples(20).select(np.arange(0)), config=settings(), validate=always_zero)


def test_more_negatives_than_unseen_items_are_refused(tiny_llara: Build, make_examples: MakeExamples) -> None:
    trainer = Trainer(tiny_llara(), make_examples(8), config=settings(num_negatives=22), validate=always_zero)
    with pytest.raises(DataError, match="22"):
        trainer.train()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("micro_batch_size", -1),
        ("num_negatives", 0),
        ("validations", 0),
        ("patience", -1),
        ("seed", -2),
    ],
)
def test_a_wrong_training_setting_is_refused_by_its_full_key(key: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"train\.{key} must be .*{value}"):
        settings(**{key: value})
