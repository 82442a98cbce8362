"""LLM-based sequential recommendation on text plus behavior.

The names below are the public ones; they are imported on first use, so that `import llara` itself is quick.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llara.data import load_dataset, split_users
    from llara.evaluate import evaluate_model
    from llara.model import Llara
    from llara.recommender import Caser, GRU4Rec, SASRec
    from llara.run import Run
    from llara.train import Trainer

__version__ = version("llara")

__all__ = [
    "Caser",
    "GRU4Rec",
    "Llara",
    "Run",
    "SASRec",
    "Trainer",
    "__version__",
    "evaluate_model",
    "load_dataset",
    "split_users",
]

_HOMES = {
    "load_dataset": "llara.data",
    "split_users": "llara.data",
    "SASRec": "llara.recommender",
    "GRU4Rec": "llara.recommender",
    "Caser": "llara.recommender",
    "Llara": "llara.model",
    "evaluate_model": "llara.evaluate",
    "Run": "llara.run",
    "Trainer": "llara.train",
}


if not TYPE_CHECKING:  # so that type checkers still refuse unknown names

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'llara' has no attribute '{name}'; public are {', '.join(__all__)}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
