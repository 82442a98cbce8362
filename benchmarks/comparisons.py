"""The comparisons that docs/results.md is read for, computed from evaluations: pairs of models, and slices."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from llara.data import IntArray
from llara.evaluate import EvaluationReport
from llara.evaluate.metrics import FloatArray
from llara.evaluate.slices import SLICINGS, Bucket
from llara.evaluate.statistics import Interval, paired_test

BEST_SINGLE = "text-sasrec"
"""The conventional model that ranks the validation rows best by itself, on every set that was tried."""
_ALONE, _WHOLE, _TEXT = (
    "hybrid LLaRA (sequence without fusion)", "hybrid LLaRA (sequence)", "text-only LLaRA (sequence)",
)  # fmt: skip
_ANSWER, _WRITTEN = "hybrid LLaRA (answer)", "hybrid LLaRA (free generation)"
_PAIRS = (
    (_ALONE, "sasrec"), (_ALONE, _TEXT), (_ALONE, BEST_SINGLE),
    (_WHOLE, BEST_SINGLE), (_WHOLE, "fusion"), (_WHOLE, _TEXT), (_TEXT, "sasrec"),
    (_ANSWER, "popularity"), (_ANSWER, "sasrec"), (_ANSWER, "fusion"), (_WRITTEN, "popularity"),
)  # fmt: skip
_SLICED = ("sasrec", BEST_SINGLE, "fusion", _TEXT, _ALONE, _WHOLE)


def pairs_of(hits: dict[str, FloatArray], users: IntArray | None) -> list[dict[str, Any]]:
    """Paired tests of the pairs above whose models are both known.

    Args:
        hits: Of each model, by name, the share of draws with a hit, [N]; the mean over seeds.
        users: Number of each row's user, [N]; None: each has one.
    """
    return [
        {"model": model, "against": against, **tested(hits[model], hits[against], users)}
        for model, against in _PAIRS
        if model in hits and against in hits
    ]


def slices_of(
    hits: dict[str, FloatArray], users: IntArray | None, sliced_by: dict[str, IntArray]
) -> dict[str, list[dict[str, Any]]]:
    """HR@1 by bucket of each slicing, with the whole hybrid model against the best single conventional one.

    Args:
        hits: As for `pairs_of`.
        users: As for `pairs_of`.
        sliced_by: Values of each row by the key of their slicing, [N] each.
    """
    if _WHOLE not in hits or BEST_SINGLE not in hits:
        return {}
    return {
        key: [
            _slice(bucket, bucket.holds(values), hits, users)
            for bucket in SLICINGS[key].buckets(values)
            if len(bucket.holds(values))
        ]
        for key, values in sliced_by.items()
    }


def _slice(bucket: Bucket, rows: IntArray, hits: dict[str, FloatArray], users: IntArray | None) -> dict[str, Any]:
    return {
        "bucket": bucket.label,
        "rows": len(rows),
        "hr@1": {name: float(hits[name][rows].mean()) for name in _SLICED if name in hits},
        "model": _WHOLE,
        "against": BEST_SINGLE,
        **tested(hits[_WHOLE][rows], hits[BEST_SINGLE][rows], None if users is None else users[rows]),
    }


def tested(hits: FloatArray, reference: FloatArray, users: IntArray | None) -> dict[str, Any]:
    """A paired test as plain values."""
    test = paired_test(hits, reference, users=users)
    return {
        "difference": test.difference,
        "interval": bounds(test.interval),
        "p_value": test.p_value,
        "verdict": test.verdict,
    }


def bounds(interval: Interval | None) -> list[float] | None:
    """Both ends; None: the users say nothing about others."""
    return None if interval is None else [interval.low, interval.high]


def mean_hits(reports: Sequence[EvaluationReport]) -> dict[str, FloatArray]:
    """Of each model that all reports have, the mean of its hits by row."""
    names = [result.name for result in reports[0].results]
    return {name: np.mean([report.result(name).row_hits() for report in reports], axis=0) for name in names}
