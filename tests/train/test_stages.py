"""Stages that follow one another: each from the best weights of the one before, resumed where they were interrupted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from llara.data import Examples, Sequences
from llara.errors import CheckpointError, ConfigError, DivergenceError
from llara.model import Llara, SequenceConfig
from llara.train import (
    CurriculumConfig,
    ObjectiveConfig,
    OptimizerConfig,
    Record,
    StagePlace,
    StepRecord,
    TrainConfig,
    Trainer,
    TrainReport,
    TrainStageConfig,
    WindowConfig,
    read_metrics,
)
from llara.train.state import trained_weights

Build = Callable[..., Llara]
Validate = Callable[[Llara], float]
SEQUENCE, LISTWISE = ObjectiveConfig(name="sequence"), ObjectiveConfig(name="listwise")
CONFIG = TrainConfig(
    epochs=2,
    batch_size=4,
    micro_batch_size=2,
    num_negatives=4,
    validations=2,
    windows=WindowConfig(length=5),
    stages=(
        TrainStageConfig(objective=SEQUENCE),  # 2 x 3 steps
        TrainStageConfig(objective=LISTWISE, epochs=1.5, optimizer=OptimizerConfig(learning_rate=3e-3)),  # 6 steps
    ),
)
FIRST, ALL = 6, 12


def sequences() -> Sequences:
    rng = np.random.default_rng(3)
    return Sequences.from_lists([(rng.permutation(24)[: 3 + row % 4] + 1).tolist() for row in range(11)])


def norm(llara: Llara) -> float:
    """In place of a validation: another number for other weights."""
    return float(sum(weight.detach().double().square().sum() for weight in llara.trainable().values())) % 1.0


Start = Callable[..., tuple[Llara, list[TrainReport]]]


@pytest.fixture
def train(tiny_llara: Build, make_examples: Callable[[int], Examples]) -> Start:
    """Trains a fresh model with dropout through all stages, or until a step of all, as if by Ctrl-C."""
    examples = make_examples(16)

    def run(
        folder: Path | None,
        *,
        config: TrainConfig = CONFIG,
        resume: bool = False,
        interrupt_after: int | None = None,
        validate: Validate = norm,
        fingerprint: str = "ours",
    ) -> tuple[Llara, list[TrainReport]]:
        llara = tiny_llara(dropout=0.2, sequence=SequenceConfig(head=True, width=8))
        reports: list[TrainReport] = []
        stages = config.in_stages()
        for number, settings in enumerate(stages, start=1):
            first = sum(report.steps for report in reports)

            def on_step(record: StepRecord, first: int = first) -> None:
                if first + record.step + 1 == interrupt_after:
                    raise KeyboardInterrupt

            trainer = Trainer(
                llara,
                sequences() if settings.objective.prompts == "histories" else examples,
                config=settings,
                validate=validate,
                folder=folder,
                on_step=on_step,
                fingerprint=fingerprint,
                stage=StagePlace(number, len(stages), first),
            )
            reports.append(trainer.train(resume=resume and trainer.can_resume))
            if first + reports[-1].steps == interrupt_after:
                raise KeyboardInterrupt  # between two stages
        return llara, reports

    return run


def interrupted(train: Start, folder: Path, after: int, **changed: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(folder, interrupt_after=after, **changed)


def untimed(folder: Path) -> list[Record]:
    """The records without the only number that depends on the machine."""
    return [
        {name: value for name, value in record.items() if name != "examples_per_second"}
        for record in read_metrics(folder)
    ]


def outcome(reports: list[TrainReport]) -> list[tuple[int, int, float, str]]:
    return [(report.steps, report.best_step, report.best_validation, report.objective) for report in reports]


def assert_same(weights: dict[str, Tensor], others: dict[str, Tensor]) -> None:
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


def test_a_stage_has_the_settings_of_train_but_for_its_own() -> None:
    first, second = CONFIG.in_stages()
    assert (first.objective, first.epochs, first.optimizer, first.seed) == (SEQUENCE, 2, CONFIG.optimizer, CONFIG.seed)
    assert (second.objective, second.epochs, second.optimizer.learning_rate) == (LISTWISE, 1.5, 3e-3)
    assert (second.batch_size, second.windows, second.stages) == (4, CONFIG.windows, ())
    assert second.seed != first.seed
    assert CONFIG.trains == ("listwise", "sequence")


def test_later_stages_begin_hybrid_unless_the_run_is_text_only() -> None:
    assert [stage.curriculum.kind for stage in CONFIG.in_stages()] == ["paper", "direct"]
    ramped = TrainStageConfig(curriculum=CurriculumConfig(ramp_fraction=0.5))
    said = TrainConfig(stages=(ramped, ramped))
    assert [stage.curriculum.kind for stage in said.in_stages()] == ["paper", "paper"]
    text_only = TrainConfig(stages=(ramped, TrainStageConfig()), curriculum=CurriculumConfig(kind="text-only"))
    assert [stage.curriculum.kind for stage in text_only.in_stages()] == ["text-only", "text-only"]
    with pytest.raises(ConfigError, match=r"train\.stages\.1\.curriculum\.kind cannot be text-only where .* is paper"):
        TrainConfig(stages=(ramped, TrainStageConfig(curriculum=CurriculumConfig(kind="text-only"))))


def test_a_trainer_refuses_settings_of_several_stages(
    tiny_llara: Build, make_examples: Callable[[int], Examples]
) -> None:
    with pytest.raises(ConfigError, match="a Trainer trains one stage"):
        Trainer(tiny_llara(), make_examples(4), config=CONFIG, validate=norm)


def test_one_stage_equals_the_same_settings_without_stages(train: Start, tmp_path: Path) -> None:
    plain = TrainConfig(**{**vars(CONFIG), "stages": (), "objective": LISTWISE, "epochs": 1.5})
    staged = TrainConfig(**{**vars(CONFIG), "stages": (TrainStageConfig(objective=LISTWISE, epochs=1.5),)})
    llara, expected = train(tmp_path / "plain", config=plain)
    same, found = train(tmp_path / "staged", config=staged)
    assert outcome(found) == outcome(expected)
    assert untimed(tmp_path / "staged") == untimed(tmp_path / "plain")
    assert_same(trained_weights(same), trained_weights(llara))
    names = [{str(path.relative_to(folder)) for path in (folder / "checkpoints").rglob("*")} for folder in (
        tmp_path / "plain", tmp_path / "staged"
    )]  # fmt: skip
    assert names[0] == names[1]


def test_a_stage_starts_from_the_best_weights_of_the_one_before(train: Start) -> None:
    seen: list[dict[str, Tensor]] = []
    scores = iter([0.9, 0.1])

    def validate(llara: Llara) -> float:
        seen.append(trained_weights(llara))
        return next(scores, 0.5)

    still = TrainStageConfig(objective=LISTWISE, optimizer=OptimizerConfig(learning_rate=1e-30))
    config = TrainConfig(**{**vars(CONFIG), "stages": (CONFIG.stages[0], still)})
    llara, reports = train(None, config=config, validate=validate)
    assert reports[0].best_step == 3
    assert_same(trained_weights(llara), seen[0])
    assert any(not torch.equal(seen[0][name], weight) for name, weight in seen[1].items())


def test_records_count_the_steps_of_all_stages_and_say_which_it_was(train: Start, tmp_path: Path) -> None:
    train(tmp_path)
    records = read_metrics(tmp_path)
    assert [record["step"] for record in records] == list(range(ALL))
    assert [record["stage"] for record in records] == [1] * FIRST + [2] * (ALL - FIRST)
    assert [record["hybrid_planned"] for record in records[FIRST:]] == [1.0] * (ALL - FIRST)
    rates = [record["learning_rate"] for record in records]
    assert max(rates[:FIRST]) == pytest.approx(CONFIG.optimizer.learning_rate, rel=0.2)
    assert max(rates[FIRST:]) == pytest.approx(3e-3, rel=0.2)
    assert [record["step"] for record in records if "validation_hit_ratio" in record] == [2, 5, 8, 11]


def test_each_stage_keeps_checkpoints_of_its_own(train: Start, tmp_path: Path) -> None:
    train(tmp_path)
    states = sorted(path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("state.json"))
    assert states == ["checkpoints/stage-1/last", "checkpoints/stage-2/last"]


@pytest.mark.parametrize(
    "after",
    [4, FIRST, 8, 9, 10],
    ids=["in stage 1", "between the stages", "before stage 2's first checkpoint", "at it", "after it"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(train: Start, tmp_path: Path, after: int) -> None:
    llara, expected = train(tmp_path / "whole")
    interrupted(train, tmp_path / "cut", after)
    assert len(read_metrics(tmp_path / "cut")) == after
    resumed, found = train(tmp_path / "cut", resume=True)
    assert outcome(found) == outcome(expected)
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")
    assert len(untimed(tmp_path / "cut")) == ALL
    assert_same(trained_weights(resumed), trained_weights(llara))
    assert resumed.history_length == llara.history_length


def test_stages_that_have_ended_take_no_further_step(train: Start, tmp_path: Path) -> None:
    llara, expected = train(tmp_path)
    before = untimed(tmp_path)
    resumed, found = train(tmp_path, resume=True, validate=lambda _: 1.0)
    assert outcome(found) == outcome(expected)
    assert untimed(tmp_path) == before
    assert_same(trained_weights(resumed), trained_weights(llara))


def test_an_ended_stage_of_other_settings_is_refused(train: Start, tmp_path: Path) -> None:
    interrupted(train, tmp_path, 10, fingerprint="theirs")
    with pytest.raises(CheckpointError, match=r"stage-1.* belongs to other settings or data"):
        train(tmp_path, resume=True)
    assert len(read_metrics(tmp_path)) == 10


def test_a_stage_that_diverges_says_which_it_is_and_keeps_its_start(train: Start) -> None:
    wild = TrainStageConfig(objective=LISTWISE, optimizer=OptimizerConfig(learning_rate=1e30, max_gradient_norm=1e30))
    config = TrainConfig(**{**vars(CONFIG), "stages": (CONFIG.stages[0], wild)})
    with pytest.raises(DivergenceError, match=r"stage 2 of 2"):
        train(None, config=config)


def test_a_report_of_all_stages_is_that_of_the_last_after_the_steps_of_the_others() -> None:
    one = TrainReport(6, 3, 0.25, 1.5, stopped_early=True, objective="sequence")
    other = TrainReport(8, 4, 0.5, 2.0, stopped_early=False, objective="answer")
    assert TrainReport.of_stages([one]) == one
    both = TrainReport.of_stages([one, other])
    assert (both.steps, both.best_step, both.best_validation, both.seconds) == (14, 10, 0.5, 3.5)
    assert both.stopped_early
    assert both.stages == (one, other)
