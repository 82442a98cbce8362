"""`llara quickstart`: the whole path on the bundled sample, text-only and hybrid side by side."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llara.data import CandidateConfig, load_dataset, split_dataset
from llara.data.files import is_own, remove_own
from llara.data.folder import INFO_FILE, read_info
from llara.errors import ConfigError
from llara.evaluate import EvaluateConfig, EvaluationReport, compare_results
from llara.ingest.sample import make_sample
from llara.model import BackboneConfig, NanoConfig, SequenceConfig
from llara.model.backbone import NANO
from llara.prompt import PromptConfig
from llara.recommender import FitConfig, RecommenderConfig
from llara.run.config import DataConfig, RunConfig, override_config
from llara.run.events import Listener, Notice, ignore
from llara.run.folder import refuse_taken_run
from llara.run.integrity import record_files
from llara.run.lock import hold, write_owner
from llara.run.pipeline import FinishedRun
from llara.run.reporting import save_evaluation
from llara.run.side_by_side import train_both
from llara.run.start import make_start
from llara.train import CurriculumConfig, ObjectiveConfig, OptimizerConfig, TrainConfig, WindowConfig

QUICKSTART_MARKER = ".llara-quickstart"
"""In every folder that the quickstart makes: nothing without it is taken for an earlier quickstart."""


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
            nano=NanoConfig(hidden_size=96, num_layers=2, num_heads=4, vocabulary=4096),
        ),
        prompt=PromptConfig(item_text="{title} ({author}; {subjects})"),
        train=TrainConfig(
            epochs=7,
            batch_size=32,
            micro_batch_size=32,
            validations=3,
            objective=ObjectiveConfig(name="sequence"),
            windows=WindowConfig(length=10),
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
            validation_limit=600,
            validation_draws=1,
            generation_draws=1,
            batch_size=32,
        ),
    )


def pretrained_config(folder: Path, *, seed: int, backbone: str) -> RunConfig:
    """The same with a pretrained backbone: an adapter, and a token per item, since each costs a hundred times more."""
    small = quickstart_config(folder, seed=seed)
    return replace(
        small,
        backbone=BackboneConfig(path=backbone),
        sequence=SequenceConfig(items="vectors"),
        train=replace(small.train, epochs=2.5, optimizer=OptimizerConfig(learning_rate=1e-3, weight_decay=0.01)),
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
    folder: Path,
    *,
    seed: int,
    force: bool,
    backbone: str | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = ignore,
) -> Quickstart:
    """Make the sample, train text-only and hybrid LLaRA on the same recommender and candidates, compare.

    Args:
        folder: Holds the data and both runs.
        seed: Of readers, models and candidates.
        force: Replace an earlier quickstart in `folder`.
        backbone: A pretrained model, as `backbone.path`; None: a small one is made from the catalog.
        overrides: Settings to change, such as `train.epochs=2`.
        listener: Told of progress.

    Raises:
        ConfigError: If what it would write to holds something already: a finished quickstart or other run and not
            `force`, or, whatever `force` says, something that llara did not make; or another quickstart is at it.
    """
    config = quickstart_config(folder, seed=seed)
    if backbone is not None:
        config = pretrained_config(folder, seed=seed, backbone=backbone)
    config = override_config(config, overrides)
    text_config = replace(
        config,
        output=str(folder / "text-only"),
        train=replace(config.train, curriculum=CurriculumConfig(kind="text-only")),
    )
    with hold(folder, owner_file=folder / QUICKSTART_MARKER):
        _refuse_taken_outputs(folder, (text_config, config), force=force)
        write_owner(folder / QUICKSTART_MARKER)
        return _run_both(folder, text_config, config, seed=seed, listener=listener)


def _run_both(folder: Path, text_config: RunConfig, config: RunConfig, *, seed: int, listener: Listener) -> Quickstart:
    """The quickstart in a folder that nobody else is at."""
    started = time.perf_counter()
    if Path(config.data.folder) == _sample_folder(folder):
        listener(Notice("1/4 sample data: real public-domain books, simulated readers"))
        _make_own_sample(folder, seed=seed)
    else:
        listener(Notice(f"1/4 data in {config.data.folder}, as it is"))
    with _own_start(folder) as start:
        listener(Notice(f"2/4 recommenders, and {_what(config)}"))
        start_seconds = make_start(config, start, listener=listener)
        listener(Notice("3/4 text-only and hybrid LLaRA, from the same start"))
        text_only, hybrid = train_both(text_config, config, start=start, listener=listener)
    listener(Notice("4/4 comparison on the same candidates"))
    report = _side_by_side(text_only, hybrid)
    _save_comparison(hybrid, report, config)
    return Quickstart(text_only, hybrid, report, time.perf_counter() - started, start_seconds)


def _what(config: RunConfig) -> str:
    if config.backbone.path == NANO:
        return "a small language model"
    return f"the language model of {config.backbone.path}"


def _refuse_taken_outputs(folder: Path, runs: Sequence[RunConfig], *, force: bool) -> None:
    """Refuse to write over anything but what an earlier quickstart in `folder` has left unfinished."""
    outputs = [Path(run.output) for run in runs]
    if outputs[0].absolute() == outputs[1].absolute():
        raise ConfigError(f"output {outputs[1]} is where the text-only run goes. Choose another with --set output=...")
    own, finished = (folder / QUICKSTART_MARKER).is_file(), folder / "hybrid"
    if own and finished.exists() and not force:
        raise ConfigError(f"{folder} has a finished quickstart. Look at {finished / 'report.html'}, or pass --force.")
    for output in outputs:
        if not (own and output.parent == folder):
            refuse_taken_run(str(output), force=force)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / QUICKSTART_MARKER).touch()


def _sample_folder(folder: Path) -> Path:
    return folder / "data"


def _make_own_sample(folder: Path, *, seed: int) -> None:
    """Write the sample, over an earlier sample only."""
    data = _sample_folder(folder)
    if data.exists() and not (is_own(data, marker=INFO_FILE) and _is_sample(data)):
        raise ConfigError(
            f"{data} holds something else than the sample, which would go there. To use that data, pass "
            f"--set data.folder={data} with another --output; else choose another --output."
        )
    make_sample(data, seed=seed, force=True)


def _is_sample(data: Path) -> bool:
    return not any(data.iterdir()) or read_info(data).origin.get("source") == "llara.ingest.sample"


@contextmanager
def _own_start(folder: Path) -> Iterator[Path]:
    """A folder of ours for what both runs begin with, while the block runs."""
    start = folder / ".start"
    remove_own(start, marker=QUICKSTART_MARKER)
    start.mkdir()
    (start / QUICKSTART_MARKER).touch()
    yield start
    remove_own(start, marker=QUICKSTART_MARKER)


def _side_by_side(text_only: FinishedRun, hybrid: FinishedRun) -> EvaluationReport:
    """Popularity, recommender, text-only and hybrid LLaRA in one report; refuses other candidates."""
    report, first = hybrid.evaluated.report, text_only.evaluated.report.results
    ours = [result for result in report.results if result.name.startswith("hybrid")]
    compared = compare_results([*first, *ours], baseline=report.baseline, sliced_by=report.sliced_by)
    return replace(compared, known_leaks=report.known_leaks, members=report.members)


def _save_comparison(hybrid: FinishedRun, report: EvaluationReport, config: RunConfig) -> None:
    """Let the hybrid run's report show all models."""
    dataset = load_dataset(config.data.folder, seed=config.data.seed)
    split = split_dataset(dataset, config.data.split)
    evaluated = replace(hybrid.evaluated, report=report)
    save_evaluation(hybrid.folder, evaluated, config=config, dataset=dataset, split=split)
    record_files(hybrid.folder)
