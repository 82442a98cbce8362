"""Negatives from a counter-based stream: what a row draws depends on its own number, and on nothing around it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llara.data.examples import Examples
from llara.data.sequences import IntArray, Sequences
from llara.errors import DataError

FloatArray = NDArray[np.float64]
KeyArray = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_PROPOSALS, _COLUMNS, _RACE = 1, 2, 3
_CELLS_AT_ONCE = 1 << 22
_SPARE_PROPOSALS = 8


def mix(values: KeyArray) -> KeyArray:
    """Scramble 64-bit numbers one by one, so that neighbors share nothing.

    Source:
        The finalizer of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def row_keys(row_numbers: IntArray, *, seed: int, draw: int) -> KeyArray:
    """One key per row, from (seed, draw, row number) alone, shape [B]."""
    key = np.zeros(1, dtype=np.uint64)
    for part in (np.array([seed], np.int64), np.array([draw], np.int64), row_numbers.astype(np.int64)):
        key = mix((key ^ part.view(np.uint64)) + _STEP)
    return key


def stream(keys: KeyArray, name: int, count: int) -> KeyArray:
    """The first numbers of each row's stream `name`, shape [B, count]."""
    counters = np.arange(1, count + 1, dtype=np.uint64) * _STEP
    return mix(mix(keys ^ np.uint64(name))[:, None] + counters)


def shuffled_columns(keys: KeyArray, count: int) -> IntArray:
    """A permutation of 0..count - 1 per row, shape [B, count]."""
    return np.argsort(stream(keys, _COLUMNS, count), axis=1, kind="stable")


@dataclass(frozen=True)
class Forbidden:
    """What each row may not draw: its target, its visible history, and what its user touched.

    Attributes:
        visible: Target and history, 0 where there is nothing, shape [B, 1 + L].
        user_index: User of each row, shape [B].
        touched: Sorted keys user * (num_items + 1) + item; None where touched items may be drawn.
        num_items: Catalog size without padding.
    """

    visible: IntArray
    user_index: IntArray
    touched: IntArray | None
    num_items: int

    @staticmethod
    def of(examples: Examples, *, num_items: int, touched: Sequences | None) -> "Forbidden":
        """What the given rows may not draw."""
        keys = None
        if touched is not None:
            users = np.repeat(touched.user_index, touched.lengths)
            keys = np.unique(users * (num_items + 1) + touched.items)
        visible = np.concatenate([examples.target[:, None], examples.history], axis=1)
        return Forbidden(visible, examples.user_index, keys, num_items)

    def allows(self, rows: IntArray, items: IntArray) -> NDArray[np.bool_]:
        """Whether each of the rows may draw the items proposed to it, shape [len(rows), P]."""
        blocked = np.zeros(items.shape, dtype=bool)
        for column in self.visible[rows].T:
            blocked |= items == column[:, None]
        if self.touched is not None and len(self.touched):
            wanted = self.user_index[rows, None] * (self.num_items + 1) + items
            place = np.minimum(np.searchsorted(self.touched, wanted), len(self.touched) - 1)
            blocked |= self.touched[place] == wanted
        return ~blocked


def draw_negatives(
    keys: KeyArray,
    forbidden: Forbidden,
    *,
    num_items: int,
    num_negatives: int,
    weights: FloatArray | None,
    row_numbers: IntArray,
) -> IntArray:
    """Distinct allowed items per row, shape [B, num_negatives].

    A row takes the first allowed, new items of its stream. Rows whose stream is slow to give enough of them (a small
    catalog, a long list of touched items, a steep popularity) draw what they lack from all remaining items at once. The
    distribution is the same, and which way a row takes depends on that row alone.

    Raises:
        DataError: If a row has fewer allowed items than `num_negatives`.
    """
    cumulative = None if weights is None else _cumulative(weights, num_items)
    negatives = np.zeros((len(keys), num_negatives), dtype=np.int64)
    lacking = np.arange(len(keys))
    for length in (num_negatives + _SPARE_PROPOSALS, 4 * num_negatives + _SPARE_PROPOSALS):
        still_lacking = [lacking[:0]]
        for rows in _blocks(lacking, length):
            proposals = _propose(stream(keys[rows], _PROPOSALS, length), num_items, cumulative)
            accepted = forbidden.allows(rows, proposals) & _is_first(proposals)
            enough = accepted.sum(axis=1) >= num_negatives
            chosen = accepted & (np.cumsum(accepted, axis=1) <= num_negatives) & enough[:, None]
            negatives[rows[enough]] = proposals[chosen].reshape(-1, num_negatives)
            still_lacking.append(rows[~enough])
        lacking = np.concatenate(still_lacking)
    for rows in _blocks(lacking, num_items):
        proposals = _propose(stream(keys[rows], _PROPOSALS, length), num_items, cumulative)
        allowed = forbidden.allows(rows, np.broadcast_to(np.arange(1, num_items + 1), (len(rows), num_items)))
        if weights is not None:
            allowed &= weights[1:] > 0
        _refuse_too_few(allowed, num_negatives, rows=row_numbers[rows], users=forbidden.user_index[rows])
        negatives[rows] = _draw_from_all(keys[rows], proposals, allowed, weights, num_negatives=num_negatives)
    return negatives


def _draw_from_all(
    keys: KeyArray, proposals: IntArray, allowed: NDArray[np.bool_], weights: FloatArray | None, *, num_negatives: int
) -> IntArray:
    """Complete the allowed ones of the proposals by a race of all other allowed items: the fastest are taken.

    The times are exponential with the weights as rates, which is a weighted draw without replacement.

    Args:
        keys: One per row, shape [R].
        proposals: What the rows' streams gave so far, shape [R, P].
        allowed: Whether each row may draw each item 1..num_items; at least `num_negatives` each, [R, num_items].
        weights: Relative probability of each item index; None: uniform.
        num_negatives: How many items to take.
    """
    time = -np.log(unit_interval(stream(keys, _RACE, allowed.shape[1])))  # [R, num_items]
    if weights is not None:
        time = time / np.where(weights[1:] > 0, weights[1:], 1.0)
    np.put_along_axis(time, proposals - 1, -1.0, axis=1)
    return 1 + np.argsort(np.where(allowed, time, np.inf), axis=1, kind="stable")[:, :num_negatives]


def _refuse_too_few(allowed: NDArray[np.bool_], num_negatives: int, *, rows: IntArray, users: IntArray) -> None:
    available = allowed.sum(axis=1)
    if (available >= num_negatives).all():
        return
    short = int(np.argmax(available < num_negatives))
    raise DataError(
        f"row {rows[short]} (user index {users[short]}): {num_negatives} negatives are asked for, but only "
        f"{available[short]} of {allowed.shape[1]} items can be drawn; the others are the target, seen by the user, or "
        "without any weight. Lower data.candidates.num_negatives or use a larger catalog."
    )


def _propose(bits: KeyArray, num_items: int, cumulative: FloatArray | None) -> IntArray:
    if cumulative is None:
        high = (bits >> np.uint64(32)) * np.uint64(num_items)
        return (high >> np.uint64(32)).astype(np.int64) + 1
    return np.searchsorted(cumulative, unit_interval(bits), side="left").astype(np.int64)


def _cumulative(weights: FloatArray, num_items: int) -> FloatArray:
    if weights.shape != (num_items + 1,) or weights[0] != 0 or not (weights >= 0).all() or weights.sum() == 0:
        raise DataError(
            f"item weights must be {num_items + 1} numbers >= 0, not all zero, and zero for padding; got shape "
            f"{weights.shape}, padding {weights[:1]}. Build them with popularity_weights."
        )
    cumulative: FloatArray = np.cumsum(weights)
    cumulative /= cumulative[-1]
    return cumulative


def unit_interval(bits: KeyArray) -> FloatArray:
    """Numbers in (0, 1]."""
    return ((bits >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53


def _is_first(proposals: IntArray) -> NDArray[np.bool_]:
    """Whether each proposal is the first of its kind in its row, shape [B, P]."""
    order = np.argsort(proposals, axis=1, kind="stable")
    ordered = np.take_along_axis(proposals, order, axis=1)
    repeated = np.zeros(proposals.shape, dtype=bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    first = np.empty_like(repeated)
    np.put_along_axis(first, order, ~repeated, axis=1)
    return first


def _blocks(rows: IntArray, width: int) -> list[IntArray]:
    """The rows in pieces of bounded memory."""
    size = max(1, _CELLS_AT_ONCE // max(1, width))
    return [rows[start : start + size] for start in range(0, len(rows), size)]
