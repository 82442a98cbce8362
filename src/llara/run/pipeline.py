"""A whole run: recommender, LLaRA, evaluation, into a run folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llara.leakage import LeakageFinding
from llara.model import Llara
from llara.recommender import FoldRecommenders
from llara.run.choices import trained_scorer, uses_behavior
from llara.run.config import RunConfig
from llara.run.evaluation import Evaluated
from llara.run.events import Listener, ignore
from llara.run.folder import (
    RunFolder,
    continue_run,
    explain_refusal,
    open_run,
    write_config,
    write_histories,
    write_manifest,
)
from llara.run.leaks import find_leaks
from llara.run.material import Material, read_material
from llara.run.processes import join_run, leads, wait_for_all
from llara.run.stages import (
    AdaptStage,
    CalibrateStage,
    EvaluateStage,
    FoldsStage,
    Place,
    PracticeStage,
    RecommenderStage,
    TrainStage,
)
from llara.run.stages.folds import FOLDS_FOLDER
from llara.run.stopwatch import Stopwatch, saved_seconds
from llara.train import TrainReport

_START_FOLDER = "start"


@dataclass(frozen=True)
class FinishedRun:
    """A complete run folder and what it measured.

    Attributes:
        folder: Where it is.
        evaluated: What the evaluation found.
        training: What the training did.
        seconds: Of each stage, earlier attempts included.
    """

    folder: Path
    evaluated: Evaluated
    training: TrainReport
    seconds: dict[str, float]


def train_run(
    config: RunConfig,
    *,
    resume: bool = False,
    force: bool = False,
    start: Path | None = None,
    made: Path | None = None,
    listener: Listener = ignore,
) -> FinishedRun:
    """Train and evaluate as configured.

    Where several processes train together (`accelerate launch`), all compute, and the main one alone writes.

    Args:
        config: All settings.
        resume: Continue the interrupted run of `config.output`.
        force: Replace an existing run.
        start: A model from `make_start` to begin with instead of making one.
        made: A folder of `fit_recommenders` for the same data and settings: its recommenders are taken; None: `start`.
        listener: Told of progress.

    Raises:
        LlaraError: For anything wrong with settings, data or folders; before work starts where that can be known.
    """
    material = read_material(config)
    leakage = find_leaks(material, quiet=start is not None)  # `make_start` has warned
    with _claimed(material, resume=resume, force=force) as run:
        watch = Stopwatch(saved_seconds(run.partial), folder=run.partial if leads() else None)
        place = Place(run.partial, resume=resume, writes=leads(), listener=watch.watching(listener))
        _describe(run, material, leakage, watch)
        llara = _start_model(material, place, watch, start=start, made=made)
        folds = watch.run(FoldsStage(material, llara.recommender, made=made or start), place)
        training = _train(material, llara, folds, place, watch)
        watch.run(CalibrateStage(material, llara), place)
        evaluated = watch.run(EvaluateStage(material, llara, leakage), place)
        _complete(run, material, leakage, watch, training)
    return FinishedRun(run.final, evaluated, training, watch.seconds)


@contextmanager
def _claimed(material: Material, *, resume: bool, force: bool) -> Iterator[RunFolder]:
    """The run's folder, held by the main process; others begin once it is."""
    output = material.config.output
    with open_run(output, resume=resume, force=force) if leads() else join_run(output) as run, explain_refusal(run):
        if resume:
            continue_run(run, material.config, material.dataset)
        wait_for_all()
        yield run


def _describe(run: RunFolder, material: Material, leakage: tuple[LeakageFinding, ...], watch: Stopwatch) -> None:
    if leads():
        write_config(run.partial, material.config)
        write_manifest(run.partial, material.config, material.dataset, watch.seconds, leakage=leakage)


def _start_model(material: Material, place: Place, watch: Stopwatch, *, start: Path | None, made: Path | None) -> Llara:
    """The model before its first step; kept in the run folder so that a resumed run starts from the same."""
    own = place.folder / _START_FOLDER
    if place.resume and (own / "llara.json").is_file():
        return Llara.from_pretrained(own)
    llara = Llara.from_pretrained(start) if start is not None else _new_model(material, place, watch, made=made)
    llara.uses_behavior = uses_behavior(material.config)
    llara.default_scorer = trained_scorer(material.config)
    if place.writes:
        llara.save_pretrained(own)
    return llara


def _new_model(material: Material, place: Place, watch: Stopwatch, *, made: Path | None) -> Llara:
    recommender = watch.run(RecommenderStage(material, made=made), place)
    llara = watch.run(AdaptStage(material, recommender), place)
    return watch.run(PracticeStage(material, llara), place)


def _train(
    material: Material, llara: Llara, folds: FoldRecommenders | None, place: Place, watch: Stopwatch
) -> TrainReport:
    """Every stage of the training, each from the best weights of the one before."""
    reports: list[TrainReport] = []
    for number in range(len(material.config.train.in_stages())):
        first_step = sum(report.steps for report in reports)
        reports.append(watch.run(TrainStage(material, llara, folds, number=number, first_step=first_step), place))
    return TrainReport.of_stages(reports)


def _complete(
    run: RunFolder, material: Material, leakage: tuple[LeakageFinding, ...], watch: Stopwatch, training: TrainReport
) -> None:
    """What a finished run has besides what its stages have left; then it takes its place."""
    if not leads():
        return
    write_histories(run.partial, material.dataset)
    for folder in (_START_FOLDER, FOLDS_FOLDER):
        shutil.rmtree(run.partial / folder, ignore_errors=True)
    write_manifest(
        run.partial, material.config, material.dataset, watch.seconds, leakage=leakage,
        stages=[stage.as_json() for stage in training.stages],
    )  # fmt: skip
    run.finish()
