"""The engine: a request (history) to a ranking. Knows nothing of HTTP or terminals."""

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Self

from llara.model import Llara
from llara.run.folder import read_manifest
from llara.run.integrity import MANIFEST_FILE, check_files
from llara.run.recommending import Ranking, rank_catalog


class Engine:
    """A loaded run that answers requests, in many threads at once; a context manager, which ends with `close`.

    Args:
        llara: The model; must not be trained before `close`.
        history_length: How many of the latest items it reads, as in training.
        fold: Hold the adapted weights a second time with the adapter in them (see `Llara.folded`): a request takes 10
            to 25 % less time (docs/experiments.md). Not worth it for one request.
    """

    def __init__(self, llara: Llara, *, history_length: int, fold: bool = True) -> None:
        self.llara = llara
        self.history_length = history_length
        self._held = ExitStack()
        self._folds = fold
        if fold:
            self._held.enter_context(llara.hold_folded())

    @classmethod
    def open(cls, folder: Path, *, history_length: int, fold: bool = True) -> "Engine":
        """Load a run folder.

        Raises:
            CheckpointError: If it is incomplete or damaged.
        """
        if (folder / MANIFEST_FILE).is_file():  # a saved model alone has none
            check_files(folder, read_manifest(folder).get("files"))
        return cls(Llara.from_pretrained(folder), history_length=history_length, fold=fold)

    def close(self) -> None:
        """Free the folded weights; the engine still answers, and the model can be trained again."""
        self._folds = False
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def recommend(self, history: Sequence[int | str], *, k: int = 10, num_retrieved: int = 50) -> Ranking:
        """Rank the unseen part of the catalog for a history of item ids, oldest first.

        Raises:
            DataError: If an item is unknown or the history is empty.
        """
        with self.llara.folded() if self._folds else nullcontext():
            return rank_catalog(
                self.llara, history, k=k, num_retrieved=num_retrieved, history_length=self.history_length
            )
