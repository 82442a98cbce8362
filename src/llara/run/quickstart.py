"""`llara quickstart`: the whole path on the bundled sample, text-only and hybrid side by side."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llara.data import CandidateConfig, load_dataset, split_dataset
from llara.errors import ConfigError
from llara.evaluate import EvaluateConfig, EvaluationReport, compare_results
from llara.ingest.sample import make_sample
from llara.model import AdaptConfig, BackboneConfig, NanoConfig
from llara.prompt import PromptConfig
from llara.recommender import FitConfig, RecommenderConfig
from llara.run.config import DataConfig, RunConfig, override_config
from llara.run.evaluation import save_evaluation
from llara.run.events import Listener, Notice, ignore
from llara.run.pipeline import FinishedRun, make_start
from llara.run.side_by_side import train_both
from llara.train import CurriculumConfig, ObjectiveConfig, OptimizerConfig, PracticeConfig, TrainConfig


def quickstart_config(folder: Path, *, seed: int) -> RunConfig:
    """The sample's settings: a nano backbone tuned in full for a minute or so."""
    return RunConfig(
        output=str(folder / "hybrid"),
        seed=seed,
        data=DataConfig(
            folder=str(folder / "data"),
            seed=seed,
            candidates=CandidateConfig(draws=1, seed=seed),
        ),
        recommender=RecommenderConfig(fit=FitConfig(seed=seed, patience=5)),
        backbone=BackboneConfig(
            tuning="full",
            nano=NanoConfig(hidden_size=96, num_layers=3, num_heads=4, vocabulary=4096),
            adapt=AdaptConfig(steps=40, batch_size=8),
        ),
        part_vectors=True,
        prompt=PromptConfig(item_text="{title} ({author}; {subjects})"),
        practice=PracticeConfig(steps=540, nearest=2),
        train=TrainConfig(
            epochs=0.4,
            batch_size=32,
            micro_batch_size=32,
            validations=2,
            objective=ObjectiveConfig(name="sum"),
            curriculum=CurriculumConfig(ramp_fraction=0.5),
            optimizer=OptimizerConfig(learning_rate=1.5e-3, weight_decay=0.01),
            seed=seed,
        ),
        recommender_prior=True,
        evaluate=EvaluateConfig(
            # 150 test readers are too few for one row each to tell models apart.
            rows="dense",
            rows_limit=800,
            validation_rows="dense",
            validation_limit=1000,
            validation_draws=1,
            generation_draws=1,
            batch_size=32,
        ),
    )


@dataclass(frozen=True)
class Quickstart:
    """What the quickstart made.

    Attributes:
        text_only: LLaRA trained on text-only prompts.
        hybrid: LLaRA trained on the curriculum, from the same start.
        comparison: Popularity, recommender, text-only and hybrid LLaRA on the same candidates.
        seconds: Wall time of all of it.
        start_seconds: Of each stage that both runs share.
    """

    text_only: FinishedRun
    hybrid: FinishedRun
    comparison: EvaluationReport
    seconds: float
    start_seconds: dict[str, float]

    @property
    def stages(self) -> dict[str, dict[str, float]]:
        """Seconds of each stage: those that both runs share, and each run's own, which passed at the same time."""
        return {
            "both": self.start_seconds,
            "text-only": self.text_only.seconds,
            "hybrid": self.hybrid.seconds,
        }

    @property
    def generation(self) -> dict[str, EvaluationReport]:
        """Free generation of each run that was asked for it, by the run's name."""
        runs = {run.folder.name: run.evaluated.generation for run in (self.text_only, self.hybrid)}
        return {name: report for name, report in runs.items() if report is not None}

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "comparison": self.comparison.summary(),
            "generation": {name: report.summary() for name, report in self.generation.items()},
            "run": str(self.hybrid.folder),
            "report": str(self.hybrid.folder / "report.html"),
            "seconds": round(self.seconds, 1),
            "stages": self.stages,
        }


def run_quickstart(
    folder: Path, *, seed: int, force: bool, overrides: Sequence[str] = (), listener: Listener = ignore
) -> Quickstart:
    """Make the sample, train text-only and hybrid LLaRA on the same recommender and candidates, compare.

    Args:
        folder: Holds the data and both runs.
        seed: Of readers, models and candidates.
        force: Replace an earlier quickstart in `folder`.
        overrides: Settings to change, such as `train.epochs=2`.
        listener: Told of progress.

    Raises:
        ConfigError: If the folder has a quickstart already and not `force`.
    """
    started = time.perf_counter()
    if (folder / "hybrid").exists() and not force:
        raise ConfigError(
            f"{folder} has a finished quickstart. Look at {folder / 'hybrid' / 'report.html'}, or pass --force."
        )
    config = override_config(quickstart_config(folder, seed=seed), overrides)
    listener(Notice("1/4 sample data: real public-domain books, simulated readers"))
    make_sample(Path(config.data.folder), seed=seed, force=force or not _finished(folder))
    listener(Notice("2/4 recommender, and a small language model that practises on the catalog"))
    start = folder / "start"
    start_seconds = make_start(config, start, listener=listener)
    listener(Notice("3/4 text-only and hybrid LLaRA, from the same start"))
    text_config = replace(
        config,
        output=str(folder / "text-only"),
        train=replace(config.train, curriculum=CurriculumConfig(kind="text-only")),
    )
    text_only, hybrid = train_both(text_config, config, start=start, listener=listener)
    shutil.rmtree(start)
    listener(Notice("4/4 comparison on the same candidates"))
    report = _side_by_side(text_only, hybrid)
    _save_comparison(hybrid, report, config)
    return Quickstart(text_only, hybrid, report, time.perf_counter() - started, start_seconds)


def _finished(folder: Path) -> bool:
    return (folder / "hybrid").exists()


def _side_by_side(text_only: FinishedRun, hybrid: FinishedRun) -> EvaluationReport:
    """Popularity, recommender, text-only and hybrid LLaRA in one report; refuses other candidates."""
    first = text_only.evaluated.report.results
    ours = [result for result in hybrid.evaluated.report.results if result.name.startswith("hybrid")]
    compared = compare_results([*first, *ours], baseline=hybrid.evaluated.report.baseline)
    return replace(compared, known_leaks=hybrid.evaluated.report.known_leaks)


def _save_comparison(hybrid: FinishedRun, report: EvaluationReport, config: RunConfig) -> None:
    """Let the hybrid run's report show all models."""
    dataset = load_dataset(config.data.folder, seed=config.data.seed)
    split = split_dataset(dataset, config.data.split)
    evaluated = replace(hybrid.evaluated, report=report)
    save_evaluation(hybrid.folder, evaluated, config=config, dataset=dataset, split=split)
