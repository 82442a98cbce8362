"""Expecting the time of much work from a little of it, within a budget of seconds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_GROWTH = 4
GUESSED, _STEADY = 0.5, 0.1
"""Uncertainty of what was tried too little to know better, and of what was tried at its full size."""


@dataclass(frozen=True)
class Expected:
    """What a piece of work takes.

    Attributes:
        seconds: Of one piece at its full size.
        uncertainty: By which share of them it may well be off.
        size: The largest size that was tried.
    """

    seconds: float
    uncertainty: float
    size: int


def expect(
    run: Callable[[int], float],
    *,
    full: int,
    seconds: float,
    steady: Callable[[float], tuple[float, float]] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Expected:
    """Try a piece of work at growing sizes while the budget allows, and extrapolate in a straight line.

    Args:
        run: Does the work at a size, and returns its seconds.
        full: The size of the real work, >= 1.
        seconds: Budget. The smallest size is always tried, so a piece of work that is slow at size 1 takes longer.
        steady: Repeats the work at full size within some seconds; returns the seconds of one piece and their spread as
            a share. Asked as soon as a handful of pieces fits; None: once more `run(full)`.
        clock: Seconds that never go back.
    """
    deadline = clock() + seconds
    took = run(1)
    if took > seconds / 3:  # the first pass makes room and is slow, but there is no time for another
        return Expected(took * full, 0.0 if full == 1 else GUESSED, 1)
    sizes, times = [1], [run(1)]
    while True:
        left = deadline - clock()
        size, took = sizes[-1], times[-1]
        if steady is not None and 5 * took * full / size <= left:
            found, spread = steady(left)
            return Expected(found, max(_STEADY, spread), full)
        bigger = min(full, _GROWTH * size)
        if bigger == size or 1.3 * took * bigger / size > left:
            return _extrapolated(sizes, times, full)
        sizes.append(bigger)
        times.append(run(bigger))


def _extrapolated(sizes: Sequence[int], times: Sequence[float], full: int) -> Expected:
    size, took = sizes[-1], times[-1]
    if size == full:
        return Expected(took, _STEADY, size)
    per_unit = took / size
    if len(sizes) > 1:
        # What does not grow with the size, such as a step of the optimizer, is paid once.
        per_unit = min(per_unit, max(0.0, took - times[-2]) / (size - sizes[-2]))
    return Expected(took + per_unit * (full - size), min(GUESSED, 0.15 + 0.05 * full / size), size)


class Repeats:
    """Times of a step that is repeated until they agree, or there is no time left.

    Args:
        most: Steps, the uncounted ones included.
        uncounted: First steps, which make room and are not like the others.
        seconds: Budget.
    """

    def __init__(self, *, most: int, uncounted: int, seconds: float) -> None:
        self._most, self._uncounted = most, uncounted
        self._deadline = time.perf_counter() + seconds
        self._times: list[float] = []

    def add(self, seconds: float) -> bool:
        """Count a step; says whether that is enough of them."""
        self._times.append(seconds)
        counted = len(self._times) - self._uncounted
        late = time.perf_counter() + seconds > self._deadline
        return len(self._times) >= self._most or (counted >= 1 and late) or (counted >= 5 and self.spread() < 0.05)

    def mean(self) -> float:
        """Seconds of a step."""
        return float(np.mean(self._counted()))

    def spread(self) -> float:
        """By which share the mean may be off."""
        times = self._counted()
        if len(times) < 2:
            return GUESSED / 2
        return float(2 * np.std(times, ddof=1) / np.sqrt(len(times)) / np.mean(times))

    def _counted(self) -> list[float]:
        return self._times[min(self._uncounted, len(self._times) - 1) :]


class Budget:
    """Seconds that several probes share: what one does not use is left to those after it.

    Args:
        seconds: Of all of them.
        weights: Share of each probe, in their order.
    """

    def __init__(self, seconds: float, weights: Sequence[float]) -> None:
        self._deadline = time.perf_counter() + seconds
        self._weights = list(weights)

    def next(self) -> float:
        """Seconds for the next probe."""
        share = self._weights[0] / sum(self._weights)
        del self._weights[0]
        return max(0.0, self._deadline - time.perf_counter()) * share
