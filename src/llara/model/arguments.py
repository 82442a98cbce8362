"""What callers give, checked where it enters: rows of item indices, and the name of a scorer."""

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from typing import get_args

from llara.errors import ConfigError, DataError
from llara.model.settings import ScorerName

logger = logging.getLogger(__name__)

Items = Sequence[Sequence[int]]
"""Item indices of each row, without padding."""


def check_scorer(scorer: str) -> None:
    """Raise ConfigError unless a scorer has this name."""
    known = get_args(ScorerName)
    if scorer not in known:
        near = get_close_matches(str(scorer), known, n=1)
        remedy = f"Did you mean '{near[0]}'?" if near else "None takes what the model was trained for."
        raise ConfigError(f"scorer must be one of {', '.join(known)}, got '{scorer}'. {remedy}")


def check_rows(histories: Items, candidates: Items, *, num_items: int, equal: bool = True) -> None:
    """Refuse rows that cannot be asked about; rows count from 0.

    Args:
        histories: Item indices, oldest first, [N].
        candidates: Item indices, [N, C].
        num_items: Size of the catalog.
        equal: Whether all rows must have as many candidates as the first.

    Raises:
        DataError: Naming the row.
    """
    if len(histories) != len(candidates):
        raise DataError(
            f"expected one list of candidates per history, found {len(histories)} histories and {len(candidates)} "
            "lists of candidates. Repeat a history for each of its lists."
        )
    for name, rows in (("history", histories), ("candidates", candidates)):
        for row, items in enumerate(rows):
            if len(items) == 0:
                raise DataError(f"row {row}: {name} is empty; give at least one item, or leave the row out.")
            wrong = next((item for item in items if not 1 <= item <= num_items), None)
            if wrong is not None:
                raise DataError(f"row {row}: {name} holds item index {wrong}; expected 1 to {num_items}.")
    if equal:
        _check_widths(candidates)


def _check_widths(candidates: Items) -> None:
    odd = next((row for row, items in enumerate(candidates) if len(items) != len(candidates[0])), None)
    if odd is not None:
        raise DataError(
            f"row {odd} has {len(candidates[odd])} candidates, row 0 has {len(candidates[0])}; expected as many "
            "in each row. Score rows of different lengths in separate calls."
        )


def as_trained(histories: Items, limit: int | None) -> list[Sequence[int]]:
    """The latest items of each history, no more than the model was trained with; a warning says where that cuts.

    Args:
        histories: Item indices, oldest first.
        limit: Longest history of training; None: not known.
    """
    longer = [] if limit is None else [row for row, items in enumerate(histories) if len(items) > limit]
    if limit is None or not longer:
        return list(histories)
    logger.warning(
        "row %d has a history of %d items, the model was trained on %d at most: only the latest %d are read (%d such "
        "rows)", longer[0], len(histories[longer[0]]), limit, limit, len(longer),
    )  # fmt: skip
    return [items[-limit:] for items in histories]
