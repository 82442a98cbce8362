"""From what a person asks for, a known user or a history of item ids, to a ranking."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


def rank_catalog(
    llara: Llara, history: Sequence[int | str], *, k: int, num_retrieved: int, history_length: int
) -> Ranking:
    """Rank the unseen part of the catalog for a history of item ids, oldest first.

    Raises:
        DataError: If an item is unknown or the history is empty.
    """
    items = llara.recommend(history, k=k, num_retrieved=num_retrieved, history_length=history_length)
    catalog = llara.catalog
    read = [catalog.index_of(item) for item in history][-history_length:]
    return Ranking(tuple((catalog.item_ids[index], catalog.titles[index]) for index in read), tuple(items))
