"""Checks of what a person asks for that need no data and no model, and so no import that takes seconds."""

import sys
from pathlib import Path

from llara.errors import CheckpointError, ConfigError

CONFIG_FILE = "config.yaml"
"""Settings of a run, in its folder."""
_SCORERS = ("auto", "all", "answer", "listwise", "sequence", "recommender", "popularity")
_TASKS = ("sequential", "pairwise", "listwise", "pointwise", "full")
_PARTS = ("test", "validation")


def require_config_file(path: Path) -> None:
    """Raise ConfigError unless there is a settings file."""
    if not path.is_file():
        raise ConfigError(f"config file {path} does not exist. See configs/ for commented examples.")


def require_run_folder(folder: Path) -> None:
    """Raise CheckpointError unless a folder is that of a finished run."""
    if not (folder / CONFIG_FILE).is_file():
        hint = f" An interrupted run is at {folder}.partial." if Path(f"{folder}.partial").is_dir() else ""
        raise CheckpointError(
            f"{folder} is no run folder: it has no {CONFIG_FILE}.{hint} Give one made by `llara train`."
        )


def require_one_history(*, user: object | None, history: object | None) -> None:
    """Raise ConfigError unless exactly one of a known user and a typed history is given."""
    if (user is None) == (history is None):
        raise ConfigError("give either --user ID or --history ID,ID,... (item ids, oldest first), not both or neither.")


def chosen_task(task: str, part: str | None) -> tuple[str, str]:
    """Task and part of an evaluation; `--task test` and `--task validation`, which once chose the part, still do.

    Raises:
        ConfigError: If both options name a part.
    """
    if task not in _PARTS:
        return task, part or "test"
    if part not in (None, task):
        raise ConfigError(f"--task {task} is the old way to write --part {task}, and --part {part} was given as well.")
    return "sequential", task


def require_known_evaluation(*, part: str, rows: str, scorer: str, draws: int | None, task: str = "sequential") -> None:
    """Raise ConfigError unless the options of an evaluation are known."""
    _require_one_of("--task", task, (*_TASKS, *_registered("llara.evaluate.tasks.registry", "TASKS")))
    _require_one_of("--part", part, _PARTS)
    _require_one_of("--rows", rows, ("last", "dense"))
    _require_one_of("--scorer", scorer, (*_SCORERS, *_registered("llara.evaluate.scorers", "SCORERS")))
    if draws is not None and draws < 1:
        raise ConfigError(f"--draws must be at least 1, got {draws}.")


def _require_one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    names = list(dict.fromkeys(known))
    if value not in names:
        listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        raise ConfigError(f"{option} must be {listed}, got '{value}'.")


def _registered(module: str, table: str) -> tuple[str, ...]:
    """Names in a registry that somebody has imported; whoever added one has, and all others need not wait for it."""
    loaded = sys.modules.get(module)
    return () if loaded is None else tuple(getattr(loaded, table))
