"""Run folders: filled under a temporary name, renamed when complete, never overwritten without being told."""

import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from safetensors import SafetensorError

from llara.data import Dataset, write_parquet
from llara.data.files import DISK_ERRORS, is_own, remove_own, swap_in
from llara.data.tables import read_parquet
from llara.errors import CheckpointError, ConfigError, DataError
from llara.leakage import LeakageFinding
from llara.run.arguments import CONFIG_FILE, require_run_folder
from llara.run.config import RunConfig, config_to_dict, dump_config, load_config
from llara.run.integrity import MANIFEST_FILE, check_files, commit_of, foreign_files, record_files, replace_text
from llara.run.lock import hold, write_owner

HISTORIES_FILE, EVALUATION_FILE = "histories.parquet", "evaluation.json"
CALIBRATION_FILE = "calibration.json"
"""Only where a recommender is part of the listwise scores."""
RUN_MARKER = ".llara-run"
"""In every folder that `llara train` makes, also while it fills it: nothing without it is ever replaced."""
_LIBRARIES = ("llara", "torch", "transformers", "peft", "accelerate", "polars", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """Where a run is being written (`partial`) and where it will be (`final`)."""

    final: Path
    partial: Path

    def finish(self) -> None:
        """Put the complete run in its place; an old one steps aside first and is removed last.

        Raises:
            ConfigError: If something that is no run has appeared in its place meanwhile; the run stays in `partial`.
        """
        record_files(self.partial)
        swap_in(self.partial, self.final, marker=RUN_MARKER)


@contextmanager
def open_run(output: str, *, resume: bool, force: bool) -> Iterator[RunFolder]:
    """Claim a run folder before any work starts, and hold it against other processes while the block runs.

    Raises:
        ConfigError: If the run exists (and no `force`), an interrupted one is there (and neither flag), another
            process is at it, or something that is no run is in the way.
        CheckpointError: If there is nothing to resume.
    """
    final = Path(output)
    run = RunFolder(final, final.with_name(final.name + ".partial"))
    if resume:
        _refuse_unless_interrupted(run)  # before anything is written
    with ExitStack() as held:
        with _explain_claim(run.partial):
            held.enter_context(hold(final, owner_file=run.partial / RUN_MARKER))
            if resume:
                _refuse_unless_interrupted(run)  # it may have been finished by another process meanwhile
            else:
                _refuse_taken(run, force=force)
                remove_own(run.partial, marker=RUN_MARKER)
                run.partial.mkdir()
            write_owner(run.partial / RUN_MARKER)
        yield run


def refuse_taken_run(output: str, *, force: bool) -> None:
    """Raise ConfigError unless `open_run` would start a run at `output`: for a look before long work starts."""
    final = Path(output)
    _refuse_taken(RunFolder(final, final.with_name(final.name + ".partial")), force=force)


def _refuse_unless_interrupted(run: RunFolder) -> None:
    if not (run.partial / RUN_MARKER).is_file():
        done = " It is finished already." if run.final.exists() else ""
        raise CheckpointError(f"no interrupted run at {run.partial}.{done} Start without --resume.")


def _refuse_taken(run: RunFolder, *, force: bool) -> None:
    if run.final.exists():
        if not force:
            raise ConfigError(
                f"{run.final} exists already. Choose another output with --set output=..., or pass --force."
            )
        if not is_own(run.final, marker=RUN_MARKER):
            raise ConfigError(
                f"{run.final} is no run folder (no {RUN_MARKER}); --force will not replace it. Choose another."
            )
        _refuse_foreign_files(run.final)
    if run.partial.exists() and not is_own(run.partial, marker=RUN_MARKER):
        raise ConfigError(
            f"{run.partial} is in the way: the run is written there first, and llara did not make that folder "
            f"(no {RUN_MARKER}). Move it away, or choose another output with --set output=..."
        )
    if (run.partial / RUN_MARKER).is_file() and not force:
        raise ConfigError(
            f"an interrupted run is at {run.partial}. Continue it with --resume, or start over with --force."
        )


def _refuse_foreign_files(final: Path) -> None:
    """A run is replaced as a whole, and with it would go whatever somebody has put into it."""
    if not any(final.iterdir()):
        return
    foreign = foreign_files(final, read_manifest(final).get("files"))
    if foreign:
        raise ConfigError(
            f"{final} holds files that its run did not leave, such as {foreign[0]}, and --force would delete them. "
            "Move them away, or choose another output with --set output=..."
        )


@contextmanager
def _explain_claim(partial: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot create {partial}: {error.strerror or error}. Choose a folder that you may write to."
        ) from error


def continue_run(run: RunFolder, config: RunConfig, dataset: Dataset) -> None:
    """Refuse to continue a run with other settings or data than it was started with.

    Raises:
        CheckpointError: If they differ.
    """
    if not (run.partial / MANIFEST_FILE).is_file():
        return  # it stopped before anything was made
    if read_manifest(run.partial)["fingerprint"] != fingerprint(config, dataset):
        raise CheckpointError(
            f"the interrupted run at {run.partial} was started with other settings or data. Resume with the config "
            f"that it was started with (see {run.partial / CONFIG_FILE}), or start anew with --force."
        )


@contextmanager
def explain_refusal(run: RunFolder) -> Iterator[None]:
    """Turn a disk that is full or refuses into a message that says what survives.

    Raises:
        DataError: In place of the disk's error.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        # Damaged safetensors are reported where they are read: here such an error is about writing.
        if isinstance(error, OSError) and error.errno not in DISK_ERRORS:
            raise
        kept = f" The finished run {run.final} is untouched." if run.final.exists() else ""
        raise DataError(
            f"cannot write {run.partial}: {error}.{kept} Free space, then run the same command with --resume."
        ) from error


def fingerprint(config: RunConfig, dataset: Dataset) -> str:
    """Identifies what shapes the training: its settings and the data's hashes."""
    settings = {**config_to_dict(config), "output": ""}
    settings.pop("evaluate")
    settings["data"].pop("allow_leaks")
    if not config.train.stages:  # as runs were identified before there were any
        settings["train"].pop("stages")
    content = [settings, *fingerprint_data(dataset)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def fingerprint_data(dataset: Dataset) -> list[str | None]:
    """Hashes of the dataset folder's files."""
    return [dataset.info.interactions_sha256, dataset.info.items_sha256, dataset.info.rows_sha256]


def write_manifest(
    folder: Path,
    config: RunConfig,
    dataset: Dataset,
    timings: dict[str, float],
    *,
    leakage: Sequence[LeakageFinding] = (),
    stages: Sequence[Mapping[str, Any]] = (),
) -> None:
    """What a reader needs to trust or repeat the run; leaks among the findings are known ones.

    `stages` is what each stage of the training came to, where there were several.
    """
    content = {
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "commit": commit_of(Path(__file__)),
        "seed": config.seed,
        "data": asdict(dataset.info),
        "item_permutation_seed": config.data.seed,
        "fingerprint": fingerprint(config, dataset),
        "known_leaks": [asdict(finding) for finding in leakage if finding.level == "leak"],
        "seconds": timings,
        **({"stages": list(stages)} if stages else {}),
    }
    replace_text(folder / MANIFEST_FILE, json.dumps(content, indent=2, default=str))


def write_config(folder: Path, config: RunConfig) -> None:
    """The complete settings, defaults included."""
    replace_text(folder / CONFIG_FILE, dump_config(config))


def read_config(folder: Path) -> RunConfig:
    """Settings of a finished run, whose files are all checked: whoever uses a run asks for them first.

    Raises:
        CheckpointError: If `folder` is no run folder, or one of its files is missing or damaged.
    """
    require_run_folder(folder)
    check_files(folder, read_manifest(folder).get("files"))
    return load_config(folder / CONFIG_FILE)


def write_histories(folder: Path, dataset: Dataset) -> None:
    """Every user's items by the source's ids, so that the run can recommend for known users anywhere."""
    log = dataset.log
    ids = dataset.catalog.item_ids
    histories = [[ids[item] for item in items] for items in log.sequences]
    frame = pl.DataFrame({"user_id": list(log.user_ids), "item_ids": histories})
    write_parquet(frame, folder / HISTORIES_FILE)


def read_history(folder: Path, user_id: str) -> list[int | str]:
    """All items of a known user, oldest first.

    Raises:
        DataError: If the user is unknown, or the run has no histories.
    """
    frame = read_parquet(folder / HISTORIES_FILE)
    found = frame.filter(pl.col("user_id").cast(pl.String) == user_id)
    if found.is_empty():
        few = ", ".join(str(user) for user in frame["user_id"].head(3))
        raise DataError(f"unknown user '{user_id}'; known are {frame.height} users such as {few}. Or pass --history.")
    items: list[int | str] = found["item_ids"][0].to_list()
    return items


def read_manifest(folder: Path) -> dict[str, Any]:
    """Content of manifest.json.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    path = folder / MANIFEST_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {error}. Copy the run folder again.") from error
    if not isinstance(content, dict) or not {"data", "fingerprint"} <= set(content):
        raise CheckpointError(f"{path} lacks 'data' or 'fingerprint'. Copy the run folder again.")
    return content
