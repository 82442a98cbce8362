"""Rows that were learned: evaluation rows that have a twin among the training rows."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from llara.data.examples import Examples
from llara.data.negatives import KeyArray, mix
from llara.leakage.evidence import Evidence
from llara.leakage.finding import LeakageFinding, Level, of

_SHORTEST_HISTORY = 3
_MOST_ROWS = 50_000
_ROWS_AT_ONCE = 1 << 18
_EXACT_LEAK, _NEAR_LEAK, _FEWEST = 0.01, 0.05, 3
_FILTER_BITS = 24
_ITEM_STREAM, _TARGET_STREAM = np.uint64(0x17E45), np.uint64(0x7A26E7)


def check_near_duplicate_rows(evidence: Evidence) -> LeakageFinding:
    """Judged rows whose target also follows the same items, or all but one of them, in a training row.

    The order of the items does not count. Two histories of n items are twins if they share n - 1 items, or if one is
    the other with one item more.

    Short histories of popular items meet again by chance. How often is measured by giving each row the target of
    another row: 12 % in a generated log of independent Zipf draws, next to nothing in real ones. Beyond that, at most
    0.3 % of the validation and test rows have an exact twin (Amazon Beauty), and 1.2 % an exact or near one (Amazon
    Beauty; Last.fm 1 row of 104, Video Games 0.4 %, MovieLens-1M 0.2 %; MovieLens-100K, Steam, Goodreads and the
    released LastFM rows none). More than 1 % exact or 5 % near twins, three to four times that, and at least three
    rows, have another cause: repeated rows, people under two names, or sequences that everybody follows.
    """
    rows = _checked_rows(evidence.rows)
    by_chance = np.random.default_rng(0).permutation(rows.target)
    both = Examples(
        np.concatenate([rows.history, rows.history]),
        np.concatenate([rows.history_length, rows.history_length]),
        np.concatenate([rows.target, by_chance]),
        np.concatenate([rows.user_index, rows.user_index]),
    )
    total = len(rows)
    exact, near = twins(both, evidence.split.train, num_items=evidence.dataset.catalog.num_items)
    counts = _Counts(
        rows=total,
        exact=int(exact[:total].sum()),
        exact_by_chance=int(exact[total:].sum()),
        exact_or_near=int(near[:total].sum()),
        exact_or_near_by_chance=int(near[total:].sum()),
    )
    return LeakageFinding("near-duplicate-rows", counts.level, counts.message(evidence.part), asdict(counts))


@dataclass(frozen=True)
class _Counts:
    """How many rows have twins, and how many would with the target of another row."""

    rows: int
    exact: int
    exact_by_chance: int
    exact_or_near: int
    exact_or_near_by_chance: int

    @property
    def level(self) -> Level:
        excess = self.exact - self.exact_by_chance, self.exact_or_near - self.exact_or_near_by_chance
        if any(
            count >= _FEWEST and count > share * self.rows
            for count, share in zip(excess, (_EXACT_LEAK, _NEAR_LEAK), strict=True)
        ):
            return "leak"
        return "note" if self.exact_or_near else "ok"

    def message(self, part: str) -> str:
        if self.level == "ok":
            return f"none of {self.rows:,} {part} rows has a twin among the training rows."
        remedy = (
            "Their answers can be remembered. Remove repeated rows, or users that are one person, and import again."
            if self.level == "leak"
            else "So few, or hardly more than by chance, are usual where popular items follow each other."
        )
        return (
            f"{of(self.exact_or_near, self.rows)} {part} rows have a twin among the training rows: the same target "
            f"after the same items ({self.exact:,}) or all but one ({self.exact_or_near - self.exact:,}); by chance "
            f"{self.exact_or_near_by_chance:,} would. {remedy}"
        )


def _checked_rows(rows: Examples) -> Examples:
    """Rows with a history that is long enough to be recognized, evenly thinned where they are many."""
    long_enough = np.flatnonzero(rows.history_length >= _SHORTEST_HISTORY)
    if len(long_enough) > _MOST_ROWS:
        long_enough = long_enough[np.linspace(0, len(long_enough) - 1, _MOST_ROWS).astype(np.int64)]
    return rows.select(long_enough)


def twins(rows: Examples, training: Examples, *, num_items: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows have an exact twin in training, and which an exact or a near one, both of shape [N].

    A row's signature is the sum of random 64-bit numbers of its items and its target: it does not know their order, and
    leaving an item out is one subtraction. 50,000 rows beside 10 million have a false twin in one of 300,000 data sets.

    Args:
        rows: What is looked for.
        training: What is looked through, a bounded number of rows at a time.
        num_items: Catalog size without padding.
    """
    signatures = _Signatures(num_items)
    whole, reduced = signatures.of(rows)
    wanted = _Wanted(np.concatenate([whole, reduced.ravel()]))
    seen_whole, seen_reduced = whole[:0], whole[:0]
    for start in range(0, len(training), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        theirs = Examples(
            training.history[block],
            training.history_length[block],
            training.target[block],
            training.user_index[block],
        )
        their_whole, their_reduced = signatures.of(theirs)
        seen_whole = np.union1d(seen_whole, wanted.among(their_whole))
        seen_reduced = np.union1d(seen_reduced, wanted.among(their_reduced.ravel()))
    # Leaving padding out changes nothing, so a shorter history is among its own reduced ones
    return np.isin(whole, seen_whole), np.asarray(np.isin(reduced, seen_reduced).any(axis=1))


class _Signatures:
    """Random numbers of items, as part of a history and as a target; that of padding is 0."""

    def __init__(self, num_items: int) -> None:
        indices = np.arange(num_items + 1, dtype=np.uint64)
        self._in_history = mix(mix(indices ^ _ITEM_STREAM))
        self._in_history[0] = 0
        self._as_target = mix(mix(indices ^ _TARGET_STREAM))

    def of(self, rows: Examples) -> tuple[KeyArray, KeyArray]:
        """Signatures of whole rows, shape [N], and of rows without one item of the history each, shape [N, L]."""
        parts = self._in_history[rows.history]
        whole = parts.sum(axis=1, dtype=np.uint64) + self._as_target[rows.target]
        return whole, whole[:, None] - parts


class _Wanted:
    """A set of signatures that most others are quickly told apart from."""

    def __init__(self, signatures: KeyArray) -> None:
        self._sorted = np.unique(signatures)
        self._filter = np.zeros(1 << _FILTER_BITS, dtype=bool)
        self._filter[self._short(self._sorted)] = True

    def among(self, signatures: KeyArray) -> KeyArray:
        """Those that are in the set, each once."""
        likely = np.unique(signatures[self._filter[self._short(signatures)]])
        return likely[np.isin(likely, self._sorted, assume_unique=True)]

    @staticmethod
    def _short(signatures: KeyArray) -> KeyArray:
        return signatures >> np.uint64(64 - _FILTER_BITS)
