"""A whole run: recommender, LLaRA, evaluation, into a run folder."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from llara.data import Dataset, Split, held_out_examples, item_order, load_dataset, split_dataset
from llara.evaluate import RankingTask, build_task, calibrate_prior, calibrated_hit_ratio, judge_llara
from llara.leakage import LeakageFinding
from llara.model import Llara, ScorerName
from llara.model.backbone import NANO
from llara.model.loading import check_backbone_folder
from llara.recommender import (
    EpochRecord,
    FitReport,
    FoldRecommenders,
    Recommender,
    SequentialRecommender,
    build_recommender,
    fit_recommender,
    fit_without_fold,
    fold_of_users,
    load_recommender,
    save_recommender,
)
from llara.run.config import RunConfig
from llara.run.evaluation import Evaluated, evaluate_run, save_evaluation
from llara.run.events import Advance, Listener, Notice, ignore, stage
from llara.run.folder import (
    RunFolder,
    continue_run,
    explain_refusal,
    fingerprint,
    open_run,
    write_config,
    write_histories,
    write_manifest,
)
from llara.run.leaks import accept_data
from llara.train import StepRecord, Trainer, TrainReport, practise

_STOPPING_ROWS = 2000
_START_FOLDER, _RECOMMENDER_FOLDER, _FOLDS_FOLDER = "start", "recommender", "folds"


@dataclass
class Stopwatch:
    """Seconds spent per stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - started, 2)


@dataclass(frozen=True)
class FinishedRun:
    """A complete run folder and what it measured."""

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
    listener: Listener = ignore,
) -> FinishedRun:
    """Train and evaluate as configured.

    Args:
        config: All settings.
        resume: Continue the interrupted run of `config.output`.
        force: Replace an existing run.
        start: A model from `make_start` to begin with instead of making one.
        listener: Told of progress.

    Raises:
        LlaraError: For anything wrong with settings, data or folders; before work starts where that can be known.
    """
    if config.backbone.path != NANO:
        check_backbone_folder(config.backbone.path)
    dataset = load_dataset(config.data.folder, seed=config.data.seed)
    dataset.catalog.texts(config.prompt.item_text)  # refuses unknown and unreadable columns
    dataset.catalog.refuse_unknown_columns(config.backbone.adapt.columns)
    split = split_dataset(dataset, config.data.split)
    validation = validation_task(config, dataset, split)
    test = test_task(config, dataset, split)
    leakage = accept_data(config, dataset, split, test, quiet=start is not None)  # `make_start` has warned
    with open_run(config.output, resume=resume, force=force) as run, explain_refusal(run):
        if resume:
            continue_run(run, config, dataset)
        return _fill_run(
            config, dataset, split, run, validation=validation, test=test, leakage=leakage, start=start, resume=resume,
            listener=listener,
        )  # fmt: skip


def _fill_run(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    run: RunFolder,
    *,
    validation: RankingTask,
    test: RankingTask,
    leakage: tuple[LeakageFinding, ...],
    start: Path | None,
    resume: bool,
    listener: Listener,
) -> FinishedRun:
    """All stages in a claimed folder."""
    watch = Stopwatch()
    write_config(run.partial, config)
    write_manifest(run.partial, config, dataset, watch.seconds, leakage=leakage)
    llara = _start_model(config, dataset, split, run, start=start, resume=resume, watch=watch, listener=listener)
    folds = _fold_recommenders(config, llara, dataset, split, run=run, watch=watch, listener=listener)
    with watch.measure("training"):
        training = _train(
            config, llara, split, validation, run, dataset=dataset, folds=folds, resume=resume, listener=listener
        )
    if calibrates(config, llara):
        with watch.measure("calibration"), stage(listener, "calibrating on validation rows", 1) as advance:
            weights = calibrate_prior(llara, validation, batch_size=config.evaluate.batch_size)
            advance.outcome = (
                f"head {weights.head:.2f}, recommender {weights.prior:.2f} "
                f"(nats per target {weights.loss_before:.4f} -> {weights.loss_after:.4f})"
            )
    with watch.measure("evaluation"):
        evaluated = evaluate_run(llara, split, test, config=config, leakage=leakage, listener=listener)
    llara.save_pretrained(run.partial)
    save_evaluation(run.partial, evaluated, config=config, dataset=dataset, split=split)
    write_histories(run.partial, dataset)
    write_manifest(run.partial, config, dataset, watch.seconds, leakage=leakage)
    _remove(run.partial / _START_FOLDER)
    _remove(run.partial / _FOLDS_FOLDER)
    run.finish()
    return FinishedRun(run.final, evaluated, training, watch.seconds)


def calibrates(config: RunConfig, llara: Llara) -> bool:
    """Whether the weights of head and prior are fitted on validation rows after training."""
    return config.recommender_prior and llara.uses_behavior and "listwise" in config.train.objective.trains


def test_task(config: RunConfig, dataset: Dataset, split: Split) -> RankingTask:
    """The rows that are reported."""
    dense = config.evaluate.rows == "dense"
    limit = config.evaluate.rows_limit
    rows = held_out_examples(dataset.log, split, config.data.split, limit=limit, part="test") if dense else None
    return build_task(dataset, split, "test", config.data.candidates, draws=config.data.candidates.draws, examples=rows)


def validation_task(config: RunConfig, dataset: Dataset, split: Split) -> RankingTask:
    """The rows by which the best step is chosen."""
    settings = config.evaluate
    dense = settings.validation_rows == "dense"
    rows = held_out_examples(dataset.log, split, config.data.split, limit=settings.validation_limit) if dense else None
    return build_task(
        dataset, split, "validation", config.data.candidates, draws=settings.validation_draws, examples=rows
    )


def _remove(folder: Path) -> None:
    import shutil  # noqa: PLC0415

    shutil.rmtree(folder, ignore_errors=True)


def make_start(config: RunConfig, folder: Path, *, listener: Listener = ignore) -> dict[str, float]:
    """Recommender, backbone and practice of a run, saved for several runs that differ in their training only.

    Args:
        config: Its curriculum and evaluation do not matter here.
        folder: Where to; replaced if it is there.
        listener: Told of progress.

    Returns:
        Seconds of each stage.

    Raises:
        DataError: If the data leaks in a way that is not allowed.
    """
    dataset = load_dataset(config.data.folder, seed=config.data.seed)
    split = split_dataset(dataset, config.data.split)
    accept_data(config, dataset, split, test_task(config, dataset, split))
    _remove(folder)
    watch = Stopwatch()
    _new_model(config, dataset, split, folder, watch=watch, listener=listener).save_pretrained(folder)
    return watch.seconds


def _start_model(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    run: RunFolder,
    *,
    start: Path | None,
    resume: bool,
    watch: Stopwatch,
    listener: Listener,
) -> Llara:
    """The model before its first step; written to the run folder so that a resumed run starts from the same."""
    own = run.partial / _START_FOLDER
    if resume and (own / "llara.json").is_file():
        return Llara.from_pretrained(own)
    if start is not None:
        llara = Llara.from_pretrained(start)
    else:
        llara = _new_model(config, dataset, split, run.partial, watch=watch, listener=listener)
    llara.uses_behavior = uses_behavior(config)
    llara.default_scorer = trained_scorer(config)
    llara.save_pretrained(own)
    return llara


def _new_model(
    config: RunConfig, dataset: Dataset, split: Split, folder: Path, *, watch: Stopwatch, listener: Listener
) -> Llara:
    """Fit the recommender (kept in `folder`), start the backbone, practise."""
    fitted = _fit(config, dataset, split, folder / _RECOMMENDER_FOLDER, watch=watch, listener=listener)
    adapt_steps = config.backbone.adapt.steps
    label = "reading the catalog" if adapt_steps else "loading the language model"
    with watch.measure("backbone"), stage(listener, label, max(1, adapt_steps)) as advance:
        llara = Llara.from_backbone(
            config.backbone, fitted, dataset.catalog, config=config.llara, on_adapt_step=_adapt_notes(advance)
        )
    if config.practice.steps > 0:
        with watch.measure("practice"), _practice_events(listener, config.practice.steps) as on_step:
            practise(llara, config.practice, objective=config.train.objective, seed=config.seed, on_step=on_step)
    return llara


def uses_behavior(config: RunConfig) -> bool:
    """Whether the model is asked with hybrid prompts: unless it was trained on text-only ones."""
    return config.train.curriculum.kind != "text-only"


def trained_scorer(config: RunConfig) -> ScorerName:
    """The scorer to use: as asked, else the objective's first."""
    if config.evaluate.scorer != "auto":
        return config.evaluate.scorer
    return config.train.objective.trains[0]


def _fit(
    config: RunConfig, dataset: Dataset, split: Split, folder: Path, *, watch: Stopwatch, listener: Listener
) -> Recommender:
    if (folder / "recommender.json").is_file():
        return load_recommender(folder)
    recommender = build_untrained(config, dataset)
    with watch.measure("recommender"), _fit_events(listener, type(recommender).__name__, config) as events:
        events.ended(
            fit_recommender(
                recommender,
                split.train_sequences,
                validation=held_out_examples(dataset.log, split, config.data.split, limit=_STOPPING_ROWS),
                config=config.recommender.fit,
                on_epoch=events.on_epoch,
            )
        )
    save_recommender(recommender, folder)
    return recommender


class _FitEvents:
    """Says how fitting a recommender goes on and what came of it."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def on_epoch(self, record: EpochRecord) -> None:
        self._advance(1, f"loss {record.loss:.3f} validation NDCG@10 {record.validation_ndcg:.4f}")

    def ended(self, report: FitReport) -> None:
        measured = f"validation NDCG@10 in the catalog {report.best_validation:.4f}"
        self._advance.outcome = f"best {measured} after epoch {report.best_epoch}" if report.epochs_run else measured


@contextmanager
def _fit_events(listener: Listener, name: str, config: RunConfig) -> Iterator[_FitEvents]:
    with stage(listener, name, config.recommender.fit.epochs) as advance:
        yield _FitEvents(advance)


def build_untrained(config: RunConfig, dataset: Dataset) -> Recommender:
    """The configured recommender over a data set's items, not yet fitted."""
    catalog = dataset.catalog
    return build_recommender(
        config.recommender,
        num_items=catalog.num_items,
        row_of_item_index=item_order(catalog.num_items, seed=config.data.seed),
        item_ids=catalog.item_ids,
    )


def _fold_recommenders(
    config: RunConfig,
    llara: Llara,
    dataset: Dataset,
    split: Split,
    *,
    run: RunFolder,
    watch: Stopwatch,
    listener: Listener,
) -> FoldRecommenders | None:
    """Recommenders whose judgment of training rows is not their memory; None where no such judgment is used."""
    uses_prior = config.recommender_prior and llara.uses_behavior and "listwise" in config.train.objective.trains
    if not uses_prior or config.prior_folds == 1 or not isinstance(llara.recommender, SequentialRecommender):
        return None
    users = split.train_sequences.user_index
    fold_of_user = fold_of_users(users, folds=config.prior_folds, seed=config.recommender.fit.seed)
    validation = held_out_examples(dataset.log, split, config.data.split, limit=_STOPPING_ROWS)
    recommenders = []
    for fold in range(config.prior_folds):
        folder = run.partial / _FOLDS_FOLDER / str(fold)
        if not (folder / "recommender.json").is_file():
            name = f"{type(llara.recommender).__name__} without fold {fold + 1} of {config.prior_folds}"
            with watch.measure("prior folds"), _fit_events(listener, name, config) as events:
                fitted, report = fit_without_fold(
                    lambda: build_untrained(config, dataset), split.train_sequences, fold=fold,
                    fold_of_user=fold_of_user, validation=validation, config=config.recommender.fit,
                    on_epoch=events.on_epoch,
                )  # fmt: skip
                events.ended(report)
            save_recommender(fitted, folder)
        recommenders.append(load_recommender(folder))
    return FoldRecommenders(recommenders, fold_of_user)


def _train(
    config: RunConfig,
    llara: Llara,
    split: Split,
    validation: RankingTask,
    run: RunFolder,
    *,
    dataset: Dataset,
    folds: FoldRecommenders | None,
    resume: bool,
    listener: Listener,
) -> TrainReport:
    scorer = llara.default_scorer

    def validate(model: Llara) -> float:
        if scorer == "listwise" and calibrates(config, model):
            return calibrated_hit_ratio(model, validation, batch_size=config.evaluate.batch_size)
        judged = judge_llara("validation", model, validation, scorer=scorer, batch_size=config.evaluate.batch_size)
        return judged.result.hr(1)

    resume = resume and (run.partial / "checkpoints").is_dir()
    trainer = Trainer(
        llara,
        split.train,
        config=config.train,
        validate=validate,
        folder=run.partial,
        fingerprint=fingerprint(config, dataset),
        prior=folds.log_probs if folds is not None else None,
    )
    label = "hybrid LLaRA" if llara.uses_behavior else "text-only LLaRA"
    with _training_events(listener, f"training {label}", trainer.total_steps) as (on_step, advance):
        trainer.on_step = on_step
        report = trainer.train(resume=resume)
        advance.outcome = (
            f"best validation HR@1 {report.best_validation:.4f} after step {report.best_step} of {trainer.total_steps}"
        )
    return report


def _adapt_notes(advance: Advance) -> Callable[[int, float], None]:
    def on_step(_: int, loss: float) -> None:
        advance.outcome = f"{loss:.2f} nats per token"
        advance(1, advance.outcome)

    return on_step


@contextmanager
def _practice_events(listener: Listener, steps: int) -> Iterator[Callable[[StepRecord], None]]:
    with stage(listener, "practice on the catalog", steps) as advance:
        done, note = 0, ""

        def on_step(record: StepRecord) -> None:
            nonlocal done, note
            done, note = done + 1, f"loss {record.loss:.2f} {record.examples_per_second:.0f} ex/s"
            advance(1, note)

        yield on_step
        advance.outcome = note
        advance(steps - done, note)  # phases that were good enough before their end


@contextmanager
def _training_events(
    listener: Listener, label: str, total: int
) -> Iterator[tuple[Callable[[StepRecord], None], Advance]]:
    """Each step moves the bar; each validation is a line of its own."""
    with stage(listener, label, total) as advance:
        done = 0
        best = ""

        def on_step(record: StepRecord) -> None:
            nonlocal done, best
            loss = f"loss {record.loss:.3f} p(hybrid) {record.hybrid_planned:.2f}"
            if record.validation_hit_ratio is not None:
                best = f" validation HR@1 {record.validation_hit_ratio:.4f}"
                listener(Notice(f"{label}: step {record.step + 1} of {total}, {loss}{best}"))
            advance(record.step + 1 - done, f"{loss} {record.examples_per_second:.0f} ex/s{best}")
            done = record.step + 1

        yield on_step, advance
