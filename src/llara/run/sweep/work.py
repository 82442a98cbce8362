"""Doing a sweep: recommenders first, each once, then the runs, several at a time; what is finished is kept."""

import hashlib
import json
import logging
import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch

from llara.data import load_dataset
from llara.errors import ConfigError
from llara.run.choices import uses_prior
from llara.run.config import RunConfig, config_to_dict
from llara.run.elsewhere import quiet_worker
from llara.run.events import Listener, ignore, stage
from llara.run.folder import fingerprint, read_manifest
from llara.run.integrity import MANIFEST_FILE
from llara.run.leaks import find_leaks
from llara.run.material import read_material, text_of_encoder
from llara.run.pipeline import train_run
from llara.run.stages.recommender import RECOMMENDER_FOLDER
from llara.run.start import fit_recommenders
from llara.run.sweep.cells import Sweep

logger = logging.getLogger(__name__)

SHARED_FOLDER, LOG_FOLDER = "shared", "logs"
_COMPLETE = "complete"


@dataclass(frozen=True)
class SweepOutcome:
    """What became of a sweep's runs.

    Attributes:
        made: Runs that were trained now.
        kept: Runs that were finished before.
        failed: Why a run was refused or broke off, by its folder.
    """

    made: tuple[str, ...]
    kept: tuple[str, ...]
    failed: dict[str, str]


def run_sweep(sweep: Sweep, *, workers: int | None = None, listener: Listener = ignore) -> SweepOutcome:
    """Train every run of a sweep that is not there yet; the same call again goes on where it stopped.

    Recommenders, and those of prior folds, are fitted once for all runs with the same settings of them. Each worker has
    its share of the threads; what it says goes to `logs/`. A run that fails does not stop the others.

    Args:
        sweep: From `read_sweep`.
        workers: Runs at a time; None: one per thread of torch, on a GPU one.
        listener: Told how many are done.

    Raises:
        ConfigError: If a finished run was made with other settings, or `workers` is below 1.
        LlaraError: If the data is not valid.
    """
    runs = sweep.runs
    kept = [run for run in runs if _is_finished(run)]
    waiting = [run for run in runs if run not in kept]
    if not waiting:
        return SweepOutcome((), tuple(run.output for run in kept), {})
    for run in waiting:  # what is wrong with settings, data or backbone is refused before any work
        find_leaks(read_material(run), quiet=run is not waiting[0])
    at_once, threads = _shares(workers, len(waiting))
    logs = sweep.output / LOG_FOLDER
    logs.mkdir(parents=True, exist_ok=True)
    shared = sweep.output / SHARED_FOLDER
    with _pool(at_once, threads) as pool:
        for with_folds in (False, True):
            asked = [run for run in waiting if not with_folds or _folds(run)]
            fits = {_shared(run, shared, with_folds=with_folds): run for run in asked}
            jobs = {pool.submit(_fit, run, folder, shared, logs): folder.name for folder, run in fits.items()}
            failed = _all(jobs, "fitting recommenders", listener) if jobs else {}
            if failed:  # each is of several runs, whose own messages would say less
                return SweepOutcome((), tuple(run.output for run in kept), failed)
        jobs = {pool.submit(_train, run, shared, logs): run.output for run in waiting}
        failed = _all(jobs, "training runs", listener)
    made = tuple(run.output for run in waiting if run.output not in failed)
    return SweepOutcome(made, tuple(run.output for run in kept), failed)


def _pool(workers: int, threads: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,))


def _shares(workers: int | None, runs: int) -> tuple[int, int]:
    """Runs at a time, and threads of each."""
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers must be at least 1, got {workers}.")
    threads = torch.get_num_threads()
    at_once = min(runs, workers or (1 if torch.cuda.is_available() else threads))
    return at_once, max(1, threads // at_once)


def _all(jobs: dict["Future[str]", str], what: str, listener: Listener) -> dict[str, str]:
    """Wait for all; why some failed, by their names."""
    failed = {}
    with stage(listener, what, len(jobs)) as advance:
        for job in as_completed(jobs):
            why = (
                f"the process ended, probably for lack of memory ({job.exception()})"
                if job.exception()
                else job.result()
            )
            if why:
                failed[jobs[job]] = why
            advance(1, jobs[job])
    return failed


def _is_finished(run: RunConfig) -> bool:
    folder = Path(run.output)
    if not (folder / MANIFEST_FILE).is_file():
        return False
    if read_manifest(folder)["fingerprint"] != fingerprint(run, load_dataset(run.data.folder, seed=run.data.seed)):
        raise ConfigError(
            f"{folder} was trained with other settings or data than the sweep now says. Delete it, or give the sweep "
            "another output."
        )
    return True


def _folds(run: RunConfig) -> int:
    return run.prior_folds if uses_prior(run) and run.prior_folds > 1 else 0


def _shared(run: RunConfig, shared: Path, *, with_folds: bool) -> Path:
    """Where a run's recommender is, or the recommenders of its folds with it."""
    data = config_to_dict(run)["data"]
    content = [{**data, "candidates": None}, config_to_dict(run)["recommender"], text_of_encoder(run)]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return shared / (f"{key}-{_folds(run)}" if with_folds and _folds(run) else key)


def _fit(run: RunConfig, folder: Path, shared: Path, logs: Path) -> str:
    """Fit a run's recommender into its shared folder; the folds take up the recommender that is there."""
    if (folder / _COMPLETE).is_file():
        return ""

    def work(listener: Listener) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        alone = _shared(run, shared, with_folds=False)
        if folder != alone:
            shutil.copytree(alone / RECOMMENDER_FOLDER, folder / RECOMMENDER_FOLDER)
        numbers = tuple(range(_folds(run))) if folder != alone else ()
        fit_recommenders((read_material(run), folder, numbers), listener)
        (folder / _COMPLETE).touch()

    return _worked(work, logs / f"recommender-{folder.name}.log")


def _train(run: RunConfig, shared: Path, logs: Path) -> str:
    resume = Path(f"{run.output}.partial").is_dir()
    made = _shared(run, shared, with_folds=True)
    return _worked(
        lambda listener: train_run(run, resume=resume, made=made, listener=listener),
        logs / f"{Path(run.output).name}.log",
    )


def _worked(work: Callable[[Listener], object], log: Path) -> str:
    """Do it, logging to a file; why it failed, in a text, since not every exception travels between processes."""
    with quiet_worker(log) as listener:
        try:
            work(listener)
        except Exception as error:  # whatever it is, the other runs go on
            logger.exception("ended early")
            return f"{type(error).__name__}: {error} (see {log})"
    return ""
