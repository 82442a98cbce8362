"""Checks of what a person asks for that need no data and no model, and so no import that takes seconds."""

from pathlib import Path

from llara.errors import CheckpointError, ConfigError

CONFIG_FILE = "config.yaml"
"""Settings of a run, in its folder."""
SCORERS = ("auto", "answer", "listwise", "all")


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


def require_known_evaluation(*, part: str, rows: str, scorer: str, draws: int | None) -> None:
    """Raise ConfigError unless the options of an evaluation are known."""
    if part not in ("test", "validation"):
        raise ConfigError(f"--task must be test or validation, got '{part}'.")
    if rows not in ("last", "dense"):
        raise ConfigError(f"--rows must be last or dense, got '{rows}'.")
    if scorer not in SCORERS:
        raise ConfigError(f"--scorer must be {', '.join(SCORERS[:-1])} or {SCORERS[-1]}, got '{scorer}'.")
    if draws is not None and draws < 1:
        raise ConfigError(f"--draws must be at least 1, got {draws}.")
