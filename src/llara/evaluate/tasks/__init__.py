"""Tasks: what models are asked, and what tables show of their answers."""

from llara.evaluate.tasks.contract import Metric, Task, TaskMaterial
from llara.evaluate.tasks.registry import SEQUENTIAL, TASKS, metrics_of, register_task, task_named
from llara.evaluate.tasks.sequential import SequentialTask

__all__ = [
    "SEQUENTIAL",
    "TASKS",
    "Metric",
    "SequentialTask",
    "Task",
    "TaskMaterial",
    "metrics_of",
    "register_task",
    "task_named",
]
