"""Several processes that train one model: which of them leads, and how the others go along without writing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from llara.run.folder import RunFolder


def leads() -> bool:
    """Whether this is the main process, the only one that writes; true where there is but one."""
    return bool(_state().is_main_process)


def wait_for_all() -> None:
    """Go on once every process has come here; fails where one has ended, such as the main one that was refused."""
    _state().wait_for_everyone()


@contextmanager
def join_run(output: str) -> Iterator[RunFolder]:
    """The folder of a run that the main process has claimed; nothing is written."""
    final = Path(output)
    yield RunFolder(final, final.with_name(final.name + ".partial"))


def _state() -> PartialState:
    """What `Accelerator` in the training loop finds; the flag is what `accelerate launch --cpu` says gloo by."""
    return PartialState(cpu=bool(parse_flag_from_env("ACCELERATE_USE_CPU")))
