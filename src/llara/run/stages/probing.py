"""What the probes of several stages need: from the moments of a few steps to the time of many."""

_UNCOUNTED = 2
"""Steps that make room and are not like the others."""


def per_step(moments: list[float]) -> float:
    """Seconds per step after the first ones; 0 where there was none."""
    counted = moments[min(_UNCOUNTED, max(0, len(moments) - 2)) :]
    return (counted[-1] - counted[0]) / (len(counted) - 1) if len(counted) > 1 else 0.0
