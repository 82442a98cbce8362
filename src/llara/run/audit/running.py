"""`llara audit`: the probes on a finished run."""

from pathlib import Path

from llara.data import new_folder
from llara.errors import ConfigError
from llara.evaluate import TaskMaterial, task_named
from llara.run.audit.page import save_audit
from llara.run.audit.probes import Audit, audit_run
from llara.run.events import Listener, ignore
from llara.run.reevaluation import open_finished

AUDIT_FOLDER = "audit"
_MARKER = "audit.json"


def audit_finished(
    run: Path,
    *,
    rows: int = 300,
    draws: int = 1,
    data: Path | None = None,
    output: Path | None = None,
    force: bool = False,
    listener: Listener = ignore,
) -> tuple[Audit, Path]:
    """Audit a run on every position of its test users, evenly thinned, into a folder of its own.

    Args:
        run: A finished run.
        rows: At most this many rows.
        draws: Candidate draws of each.
        data: Dataset folder, if it has moved.
        output: Where to; None: `audit` in the run.
        force: Replace an earlier audit.
        listener: Told of progress.

    Returns:
        What was found, and where it lies.

    Raises:
        ConfigError: If a number is below 1 or the output exists.
        LlaraError: If run or data cannot be used.
    """
    if rows < 1 or draws < 1:
        raise ConfigError(f"--rows and --draws must be at least 1, got {rows} and {draws}.")
    opened = open_finished(run, data)
    config = opened.config
    material = TaskMaterial(opened.dataset, opened.split, config.data.split, config.data.candidates)
    task = task_named("sequential").rows(material, "test", draws=draws, dense=True, limit=rows)
    folder = output or run / AUDIT_FOLDER
    with new_folder(folder, force=force, marker=_MARKER) as partial:
        llara = opened.load_model()
        audit = audit_run(llara, opened.split, task, batch_size=config.evaluate.batch_size, listener=listener)
        save_audit(partial, audit)
    return audit, folder
