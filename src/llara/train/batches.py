"""Which rows make up which step: a pure function of (seed, step), the same in a resumed run."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from llara.data import IntArray

_STREAM = 0xBA7C4
_POOL_BATCHES = 50


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """Order of the training rows in batches of similar length, so that little is spent on padding.

    Attributes:
        num_rows: Rows of an epoch, N.
        batch_size: Rows per optimizer step; one batch of an epoch may be smaller.
        seed: Seed of the order.
        lengths: Prompt length of each of some rows in an epoch, (rows [n], epoch) -> [n]; asked for once per pool.
    """

    num_rows: int
    batch_size: int
    seed: int
    lengths: Callable[[IntArray, int], IntArray]

    _pools: dict[tuple[int, int], list[IntArray]] = field(default_factory=dict, init=False, repr=False)
    """The two pools asked for last, by epoch and number: a plan's own, so that they go when it goes."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which every row is seen once."""
        return -(-self.num_rows // self.batch_size)

    def rows(self, step: int) -> IntArray:
        """Row numbers of an optimizer step (0-based), longest prompts first."""
        epoch, place = divmod(step, self.steps_per_epoch)
        pool, place = divmod(place, _POOL_BATCHES)
        if (epoch, pool) not in self._pools:
            while len(self._pools) > 1:
                del self._pools[next(iter(self._pools))]
            self._pools[epoch, pool] = self._pool_batches(epoch, pool)
        return self._pools[epoch, pool][place]

    def _pool_batches(self, epoch: int, pool: int) -> list[IntArray]:
        """Sort the rows of 50 batches by length, cut them into batches, shuffle the batches.

        The pool keeps batches random enough while rows within one have similar lengths.
        """
        size = self.batch_size * _POOL_BATCHES
        rows = np.random.default_rng([_STREAM, self.seed, epoch]).permutation(self.num_rows)
        rows = rows[pool * size : (pool + 1) * size]
        rows = rows[np.argsort(-self.lengths(rows, epoch), kind="stable")]
        batches = np.split(rows, range(self.batch_size, len(rows), self.batch_size))
        order = np.random.default_rng([_STREAM, self.seed, epoch, pool]).permutation(len(batches))
        return [batches[place] for place in order]
