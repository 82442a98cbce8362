"""Which tasks there are: to add one, write its file and register it."""

from llara.errors import ConfigError
from llara.evaluate.tasks.contract import Metric, Task
from llara.evaluate.tasks.full import FullTask
from llara.evaluate.tasks.listwise import ListwiseTask
from llara.evaluate.tasks.pairwise import PairwiseTask
from llara.evaluate.tasks.pointwise import PointwiseTask
from llara.evaluate.tasks.sequential import SequentialTask

SEQUENTIAL = SequentialTask()
_ALL: tuple[Task, ...] = (SEQUENTIAL, PairwiseTask(), ListwiseTask(), PointwiseTask(), FullTask())
TASKS: dict[str, Task] = {task.name: task for task in _ALL}
"""Every task, by name."""
_PARTS = ("test", "validation")  # `--task` once chose the part, and still takes these words


def register_task(task: Task) -> None:
    """Let `llara evaluate RUN --task NAME` ask a task of your own.

    Raises:
        ConfigError: If the name is taken.
    """
    if task.name in TASKS or task.name in _PARTS:
        raise ConfigError(f"there is a task named '{task.name}' already. Give yours another name.")
    TASKS[task.name] = task


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigError: If there is none.
    """
    if name not in TASKS:
        raise ConfigError(f"no task is named '{name}'; there are: {', '.join(TASKS)}.")
    return TASKS[name]


def metrics_of(name: str) -> tuple[Metric, ...]:
    """The columns of a task's table; those of `sequential` where the task that made a report is not at hand."""
    return TASKS.get(name, SEQUENTIAL).metrics
