"""What the leak checks look at, and where its rows stand in the log."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from llara.data.candidates import CandidateSet
from llara.data.examples import Examples
from llara.data.folder import Dataset
from llara.data.log import InteractionLog
from llara.data.sequences import IntArray, Sequences
from llara.data.splits import Split

_CELLS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Evidence:
    """A split data set, and the rows and candidates on which models are judged.

    Attributes:
        dataset: The data.
        split: Its split.
        rows: The rows that are judged; the split's test rows, or other rows of the same part.
        draws: Their candidate sets; none where candidates are not looked at.
        part: Name of the part that the rows belong to.
        columns: Metadata columns that a model reads; None: any.
    """

    dataset: Dataset
    split: Split
    rows: Examples
    draws: tuple[CandidateSet, ...]
    part: str
    columns: frozenset[str] | None

    @property
    def users_overlap_by_design(self) -> bool:
        """Whether the split learns from the earlier interactions of the users it judges on."""
        return self.split.name in ("leave-one-out", "time")

    @property
    def has_times(self) -> bool:
        """Whether timestamps are moments that compare between users."""
        return self.dataset.has_times

    @property
    def names_users(self) -> bool:
        """Whether rows know whose they are; rows that were released without users do not."""
        origin = self.dataset.info.origin
        return self.split.name != "rows" or origin.get("timestamps") != "positions" or origin.get("users") == "named"

    @cached_property
    def held_out_users(self) -> IntArray:
        """Users of the rows that models are chosen by or judged on, ascending, shape [users]."""
        parts = (self.split.validation, self.split.test, self.rows)
        return np.unique(np.concatenate([part.user_index for part in parts]))

    @cached_property
    def training_positions(self) -> IntArray:
        """Where in the log each training interaction stands, shape [len(split.train_sequences.items)]."""
        return training_positions(self.dataset.log, self.split.train_sequences)

    @cached_property
    def row_positions(self) -> IntArray:
        """Where in the log the target of each judged row stands, -1 where it is not found, shape [N]."""
        return target_positions(self.dataset.log, self.rows)


def training_positions(log: InteractionLog, training: Sequences) -> IntArray:
    """Where in `log.sequences.items` each training interaction stands; -1 where its user has no such interaction.

    Sequences that are not the beginning of what their user did are matched item by item: a user's n-th interaction with
    an item there is the n-th one in the log, the earliest that it can be.
    """
    start = log.sequences.offsets[training.user_index]
    inside = (training.lengths <= log.sequences.lengths[training.user_index]).all()
    positions = np.repeat(start - training.offsets[:-1], training.lengths)
    positions += np.arange(len(positions))
    if inside and np.array_equal(log.sequences.items[positions], training.items):
        return positions
    return _matched_positions(log.sequences, training)


def _matched_positions(log: Sequences, training: Sequences) -> IntArray:
    radix = 1 + max(log.items.max(initial=0), training.items.max(initial=0))
    known = np.repeat(log.user_index, log.lengths) * radix + log.items
    wanted = np.repeat(training.user_index, training.lengths) * radix + training.items
    order = np.argsort(known, kind="stable")
    known = known[order]
    place = np.searchsorted(known, wanted) + _occurrence(wanted)
    inside = np.minimum(place, len(known) - 1)
    return np.where((place == inside) & (known[inside] == wanted), order[inside], -1)


def _occurrence(keys: IntArray) -> IntArray:
    """How many equal keys stand before each key, shape [len(keys)]."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    place = np.arange(len(keys))
    occurrence = np.empty_like(place)
    occurrence[order] = place - np.maximum.accumulate(np.where(is_first, place, 0))
    return occurrence


def target_positions(log: InteractionLog, rows: Examples) -> IntArray:
    """Where in `log.sequences.items` each row's target stands, shape [N]; -1 where it is not found.

    It is the last place at which the row's user went from the last item of the history to the target.
    """
    found = np.full(len(rows), -1, dtype=np.int64)
    lengths = log.sequences.lengths[rows.user_index]
    for block in blocks_of(lengths):
        length, first = lengths[block], log.sequences.offsets[rows.user_index[block]]
        ends = np.cumsum(length)
        row = np.repeat(np.arange(len(length)), length)
        place = np.arange(ends[-1]) - np.repeat(ends - length, length)  # in the user's sequence
        at = first[row] + place
        is_target = log.sequences.items[at] == rows.target[block][row]
        last = np.maximum(rows.history_length[block] - 1, 0)[:, None]
        before = np.take_along_axis(rows.history[block], last, axis=1)[:, 0] if rows.history.shape[1] else 0 * length
        follows = (before[row] == 0) | ((place > 0) & (log.sequences.items[np.maximum(at - 1, 0)] == before[row]))
        found[block] = np.maximum.reduceat(np.where(is_target & follows, at, -1), ends - length)
    return found


def blocks_of(lengths: IntArray) -> list[slice]:
    """Rows in pieces whose lengths, each >= 1, sum to a bounded number, or single ones that are longer."""
    ends = np.cumsum(lengths)
    blocks, start = [], 0
    while start < len(lengths):
        used = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, used + _CELLS_AT_ONCE, side="right")))
        blocks.append(slice(start, stop))
        start = stop
    return blocks
