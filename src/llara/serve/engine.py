"""The engine: a request (history) to a ranking. Knows nothing of HTTP or terminals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llara.model import Llara, Recommendation


@dataclass(frozen=True)
class Ranking:
    """Answer to one request.

    Attributes:
        history: Item ids and titles that the models read, oldest first (the latest ones of a longer history).
        items: Best first.
    """

    history: tuple[tuple[int | str, str], ...]
    items: tuple[Recommendation, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "history": [{"item_id": item_id, "title": title} for item_id, title in self.history],
            "recommendations": [asdict(item) for item in self.items],
        }


class Engine:
    """A loaded run that answers requests.

    Args:
        llara: The model.
        history_length: How many of the latest items it reads, as in training.
    """

    def __init__(self, llara: Llara, *, history_length: int) -> None:
        self.llara = llara
        self.history_length = history_length

    @classmethod
    def open(cls, folder: Path, *, history_length: int) -> "Engine":
        """Load a run folder.

        Raises:
            CheckpointError: If it is incomplete or damaged.
        """
        return cls(Llara.from_pretrained(folder), history_length=history_length)

    def recommend(self, history: Sequence[int | str], *, k: int = 10, num_retrieved: int = 50) -> Ranking:
        """Rank the unseen part of the catalog for a history of item ids, oldest first.

        Raises:
            DataError: If an item is unknown or the history is empty.
        """
        items = self.llara.recommend(history, k=k, num_retrieved=num_retrieved, history_length=self.history_length)
        catalog = self.llara.catalog
        read = [catalog.index_of(item) for item in history][-self.history_length :]
        return Ranking(tuple((catalog.item_ids[index], catalog.titles[index]) for index in read), tuple(items))
