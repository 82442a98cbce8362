"""`llara plan`: memory and time of a run, from a few probe steps of every stage, before anything is spent."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from llara.data import Dataset, Examples, Split, held_out_examples, load_dataset, split_dataset
from llara.evaluate import RankingTask
from llara.model import Llara, ScorerName, generate_answers, score_candidates
from llara.model.backbone import NANO
from llara.model.loading import check_backbone_folder
from llara.recommender import SequentialRecommender, fit_recommender
from llara.run.config import RunConfig
from llara.run.evaluation import trained_scorers
from llara.run.pipeline import build_untrained, calibrates, test_task, trained_scorer, uses_behavior, validation_task
from llara.train import StepRecord, Trainer, practise

_PROBE_STEPS = 16
"""Steps of a stage that are made; the first two, which make room, are not counted."""
_UNCOUNTED = 2
_PROBE_ROWS = 64
_PROBE_INTERACTIONS = 200_000
_VALIDATION_ROWS = 2000
_PRACTICE_STEPS = 16


@dataclass(frozen=True)
class StagePlan:
    """What one stage of a run is expected to take.

    Attributes:
        name: As in the run's manifest.
        amount: What is done, in words.
        seconds: Expected wall time.
        is_limit: Whether the stage may end earlier: it stops when it no longer gets better, or is good enough.
    """

    name: str
    amount: str
    seconds: float
    is_limit: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run is expected to take on this machine.

    Attributes:
        stages: In the order in which they run; without those that the run has not.
        peak_bytes: Largest memory of the probes; whole runs have taken 6 to 14 % more (docs/benchmarks.md).
        peak_gpu_bytes: Largest memory on the GPU; None without one.
        device: What it would compute on.
    """

    stages: tuple[StagePlan, ...]
    peak_bytes: int
    peak_gpu_bytes: int | None
    device: str

    @property
    def seconds(self) -> float:
        """Expected wall time of the whole run."""
        return sum(stage.seconds for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages], "seconds": self.seconds}


def plan_run(config: RunConfig) -> Plan:
    """Make a few steps of every stage of a run, in memory, and expect the others to take as long.

    The model that is probed has not learned anything, which changes neither shapes nor speed. Nothing is written.

    Args:
        config: As for `train_run`.

    Raises:
        LlaraError: For whatever `train_run` would refuse before its work starts, leaks aside.
    """
    if config.backbone.path != NANO:
        check_backbone_folder(config.backbone.path)
    started = time.perf_counter() - time.process_time()  # the program itself has been loaded meanwhile
    dataset = load_dataset(config.data.folder, seed=config.data.seed)
    dataset.catalog.texts(config.prompt.item_text)
    split = split_dataset(dataset, config.data.split)
    validation, test = validation_task(config, dataset, split), test_task(config, dataset, split)
    stages = [StagePlan("start", "loading program and data", time.perf_counter() - started)]
    stages += _plan_recommender(config, dataset, split)
    llara, backbone = _plan_backbone(config, dataset)
    stages.append(backbone)
    stages += _plan_practice(config, llara)
    llara.uses_behavior = uses_behavior(config)
    llara.default_scorer = trained_scorer(config)
    stages += _plan_training(config, llara, split, validation)
    stages.append(_plan_evaluation(config, llara, test))
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return Plan(tuple(stage for stage in stages if stage.seconds > 0), _peak_bytes(), gpu, device)


def _plan_recommender(config: RunConfig, dataset: Dataset, split: Split) -> list[StagePlan]:
    """Two epochs on some of the users; the folds of the prior learn from all users but their own."""
    recommender = build_untrained(config, dataset)
    if not isinstance(recommender, SequentialRecommender):
        return []
    fit = config.recommender.fit
    sequences = split.train_sequences
    users = int(np.searchsorted(sequences.offsets, _PROBE_INTERACTIONS, side="right")) - 1
    some = sequences.select(np.arange(max(1, min(users, len(sequences)))))
    rows = held_out_examples(dataset.log, split, config.data.split, limit=_VALIDATION_ROWS)
    moments: list[float] = []
    fit_recommender(
        recommender, some, validation=rows, config=replace(fit, epochs=2), on_epoch=lambda r: moments.append(r.seconds)
    )
    per_epoch = (moments[-1] - moments[0]) * len(sequences.items) / len(some.items)
    whole = per_epoch * fit.epochs
    stages = [StagePlan("recommender", f"{fit.epochs} epochs of {config.recommender.name}", whole, is_limit=True)]
    folds = config.prior_folds
    if config.recommender_prior and uses_behavior(config) and "listwise" in config.train.objective.trains and folds > 1:
        stages.append(StagePlan("prior folds", f"{folds} recommenders", whole * (folds - 1), is_limit=True))
    return stages


def _plan_backbone(config: RunConfig, dataset: Dataset) -> tuple[Llara, StagePlan]:
    """Load or build the backbone, and a few steps of reading the catalog."""
    steps = config.backbone.adapt.steps
    probe = replace(config.backbone, adapt=replace(config.backbone.adapt, steps=min(steps, _PROBE_STEPS)))
    moments: list[float] = []
    started = time.perf_counter()
    llara = Llara.from_backbone(
        probe,
        build_untrained(config, dataset),
        dataset.catalog,
        config=config.llara,
        on_adapt_step=lambda _, __: moments.append(time.perf_counter()),
    )
    seconds = time.perf_counter() - started + _per_step(moments) * max(0, steps - len(moments))
    return llara, StagePlan("backbone", f"{steps} steps of reading the catalog" if steps else "loading", seconds)


def _plan_practice(config: RunConfig, llara: Llara) -> list[StagePlan]:
    """A few steps of each phase."""
    steps = config.practice.steps
    if steps == 0:
        return []
    phases: list[list[float]] = []

    def on_step(record: StepRecord) -> None:
        if record.step == 0:
            phases.append([])
        phases[-1].append(time.perf_counter())

    few = replace(config.practice, steps=min(steps, _PRACTICE_STEPS * len(config.practice.phases)))
    practise(llara, few, objective=config.train.objective, seed=config.seed, on_step=on_step)
    total = sum(phase.share for phase in config.practice.phases)
    seconds = sum(
        _per_step(moments) * steps * phase.share / total
        for moments, phase in zip(phases, config.practice.phases, strict=False)
    )
    return [StagePlan("practice", f"{steps} steps of {config.practice.batch_size} rows", seconds, is_limit=True)]


def _plan_training(config: RunConfig, llara: Llara, split: Split, validation: RankingTask) -> list[StagePlan]:
    """Some steps, one of them of the longest histories; then validations, and the calibration of the prior."""
    longest = np.argsort(-split.train.history_length, kind="stable")[: config.train.batch_size]
    _probe_steps(config, llara, split.train.select(longest), steps=1)
    per_step, total = _probe_steps(config, llara, split.train, steps=_PROBE_STEPS)
    per_validation = _seconds_to_score(config, llara, validation, llara.default_scorer)
    count = config.train.validations
    amount = f"{total} steps of {config.train.batch_size} rows, {count} validations"
    stages = [StagePlan("training", amount, total * per_step + count * per_validation)]
    if calibrates(config, llara):
        stages.append(StagePlan("calibration", "the validation rows once more", per_validation))
    return stages


def _probe_steps(config: RunConfig, llara: Llara, rows: Examples, *, steps: int) -> tuple[float, int]:
    """Seconds per step, and the number of steps that the run would make on these rows."""
    moments: list[float] = []

    def enough(_: StepRecord) -> bool:
        moments.append(time.perf_counter())
        return len(moments) >= steps

    trainer = Trainer(llara, rows, config=replace(config.train, validations=1), validate=lambda _: 0.0, enough=enough)
    trainer.train()
    return _per_step(moments), trainer.total_steps


def _plan_evaluation(config: RunConfig, llara: Llara, test: RankingTask) -> StagePlan:
    scorers = trained_scorers(llara, config)
    seconds = sum(_seconds_to_score(config, llara, test, scorer) for scorer in scorers)
    generated = config.evaluate.generation_draws if "answer" in config.train.objective.trains else 0
    if generated:
        seconds += _seconds_to_generate(config, llara, test) * generated
    amount = f"{len(test.examples):,} rows, {len(test.draws)} draws, by {', '.join(scorers)}"
    return StagePlan("evaluation", amount + (f", {generated} generated" if generated else ""), seconds)


def _seconds_to_score(config: RunConfig, llara: Llara, task: RankingTask, scorer: ScorerName) -> float:
    def score(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return score_candidates(
            llara, histories, candidates, scorer=scorer, hybrid=llara.uses_behavior,
            batch_size=config.evaluate.batch_size,
        )  # fmt: skip

    rows = max(2, _PROBE_ROWS // len(task.draws))
    return _seconds_per_row(score, task, rows, draws=len(task.draws)) * len(task.examples) * len(task.draws)


def _seconds_to_generate(config: RunConfig, llara: Llara, task: RankingTask) -> float:
    """Of one draw; a model that has learned nothing seldom ends an answer early, so this is rather too much."""

    def generate(histories: list[list[int]], candidates: list[list[int]]) -> object:
        return generate_answers(
            llara, histories, candidates, hybrid=llara.uses_behavior, batch_size=config.evaluate.batch_size
        )

    return _seconds_per_row(generate, task, config.evaluate.batch_size) * len(task.examples)


def _seconds_per_row(
    run: Callable[[list[list[int]], list[list[int]]], object], task: RankingTask, rows: int, *, draws: int = 1
) -> float:
    """Of one draw; what some draws of a history share is computed once, as the run would."""
    histories = task.examples.histories()
    places = np.linspace(0, len(histories) - 1, min(rows, len(histories))).astype(int)
    chosen = [histories[place] for place in places] * draws
    candidates = [items for draw in task.draws[:draws] for items in draw.items[places].tolist()]
    run(chosen[:2], candidates[:2])
    started = time.perf_counter()
    run(chosen, candidates)
    return (time.perf_counter() - started) / len(chosen)


def _per_step(moments: list[float]) -> float:
    """Seconds per step after the first ones; 0 where there was none."""
    counted = moments[min(_UNCOUNTED, max(0, len(moments) - 2)) :]
    return (counted[-1] - counted[0]) / (len(counted) - 1) if len(counted) > 1 else 0.0


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
