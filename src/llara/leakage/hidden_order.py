"""Histories that are sorted by something which the data set does not show, and whether time itself explains it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llara.data.log import InteractionLog
from llara.data.sequences import IntArray

_PAIRS_PER_USER = 64
_MOST_PAIRS = 2_000_000
_FEWEST_PAIRS = 30
_SORTED_SHARE = 0.98
_IN_TIME_SHARE = 0.95
_DATED_SHARE = 0.5
_COUNTED_SHARE = 0.9


@dataclass(frozen=True)
class Agreement:
    """How users who have two items in common had them.

    Attributes:
        agreeing: Comparisons of two users in which both had the two items in the same order.
        compared: All comparisons.
        item_pairs: Different pairs of items among them.
        dated: Comparisons in which neither user had both items at one time, nor the two users at the same two times.
        apart: Those of them in which both users had the one item before either had the other.
    """

    agreeing: int
    compared: int
    item_pairs: int
    dated: int
    apart: int

    @property
    def share(self) -> float:
        """Comparisons that agree, of all."""
        return self.agreeing / max(1, self.compared)

    @property
    def is_a_leak(self) -> bool:
        """Whether nearly all agree, on more than a few sequels that everybody has in order."""
        return self.item_pairs >= _FEWEST_PAIRS and self.share > _SORTED_SHARE

    @property
    def is_in_time(self) -> bool:
        """Whether items come up for all users at the same time, as news do, which puts histories in one order.

        Simulated readers who follow the order of publication are apart in 98 % of them and more. Sorted histories are
        in less than 50 %, or in 77 to 93 % if all users are active all the time and like all items as much. Where most
        times are the same for all users, they may belong to the items.
        """
        has_moments = self.item_pairs >= _FEWEST_PAIRS and self.dated >= _DATED_SHARE * self.compared
        return has_moments and self.apart > _IN_TIME_SHARE * self.dated


def order_agreement(log: InteractionLog, *, num_items: int, seed: int, tied: bool = False) -> Agreement:
    """How often users who have two items in common had them in the same order.

    Half of the time would be chance; real logs agree on .5 to .8 of such pairs, since some items are older than others
    (MovieLens .60, Steam .57, Amazon Beauty .74, Goodreads .77). Histories that were sorted by any number of their
    items agree always, also where that number was taken away, as in the released LastFM rows.

    Args:
        log: All interactions.
        num_items: Catalog size without padding.
        seed: Of the pairs that are looked at: some per user, two million at most.
        tied: Look only at pairs that a user had at the same time.
    """
    rng = np.random.default_rng([seed, 0x0D0E, int(tied)])
    places = _draw_pairs(log, rng, tied=tied)
    first, second = log.sequences.items[places]
    pair = np.minimum(first, second) * (num_items + 1) + np.maximum(first, second)
    pair[first == second] = -1
    # Shuffled, because users stand by their first time: neighbors would be those who did everything at the same time.
    kept = rng.permutation(_once_per_user(pair))
    order = kept[np.argsort(pair.ravel()[kept], kind="stable")]
    same = np.diff(pair.ravel()[order]) == 0
    rising = (first < second).ravel()[order]
    agree = (rising[1:] == rising[:-1]) & same
    early, late = log.timestamps[places.reshape(2, -1)[:, order]]
    dated = same & (early < late)[1:] & (early < late)[:-1]
    dated &= (early[1:] != early[:-1]) | (late[1:] != late[:-1])
    apart = np.maximum(early[1:], early[:-1]) < np.minimum(late[1:], late[:-1])
    return Agreement(
        agreeing=int(agree.sum()),
        compared=int(same.sum()),
        item_pairs=int(same[:1].sum() + (same[1:] & ~same[:-1]).sum()),
        dated=int(dated.sum()),
        apart=int((agree & dated & apart).sum()),
    )


def counts_interactions(log: InteractionLog, first: IntArray) -> bool:
    """Whether timestamps count a user's interactions (1, 2, 3 or 10, 20, 30) instead of telling when they were.

    Args:
        log: All interactions.
        first: Positions whose next position belongs to the same user.
    """
    gaps = log.timestamps[first + 1] - log.timestamps[first]
    return bool(len(gaps)) and float((gaps == int(np.median(gaps))).mean()) > _COUNTED_SHARE


def _draw_pairs(log: InteractionLog, rng: np.random.Generator, *, tied: bool) -> IntArray:
    """Positions of pairs in the history or among the equal times of a user, earlier one first, [2, users, pairs]."""
    offsets = log.sequences.offsets
    starts = np.flatnonzero(_is_new(log)) if tied else offsets[:-1]
    lengths = np.diff(starts, append=offsets[-1])
    starts, lengths = starts[lengths > 1], lengths[lengths > 1]
    runs = np.searchsorted(starts, offsets)  # those of user u: runs[u], ..., runs[u + 1] - 1
    users = np.flatnonzero(np.diff(runs))
    if len(users) > _MOST_PAIRS // _PAIRS_PER_USER:
        users = np.sort(rng.choice(users, _MOST_PAIRS // _PAIRS_PER_USER, replace=False))
    shape = (len(users), _PAIRS_PER_USER)
    run = rng.integers(runs[users][:, None], runs[users + 1][:, None], shape)
    places: IntArray = starts[run] + rng.integers(0, lengths[run], (2, *shape))
    return np.sort(places, axis=0)


def _is_new(log: InteractionLog) -> NDArray[np.bool_]:
    """Whether each position begins another user or another time."""
    is_new = np.ones(len(log.timestamps), dtype=bool)
    is_new[1:] = log.timestamps[1:] != log.timestamps[:-1]
    is_new[log.sequences.offsets[:-1]] = True
    return is_new


def _once_per_user(pair: IntArray) -> IntArray:
    """Flat places of each user's distinct pairs; a user who agrees with himself proves nothing."""
    if pair.size == 0:
        return np.zeros(0, dtype=np.int64)
    columns = np.argsort(pair, axis=1, kind="stable")
    ordered = np.take_along_axis(pair, columns, axis=1)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    new &= ordered >= 0
    flat: IntArray = columns + np.arange(len(pair))[:, None] * pair.shape[1]
    return flat[new].astype(np.int64)
