"""What the evaluation of several models on the same candidates found, and its JSON form."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from llara.data import IntArray
from llara.data.files import write_atomically
from llara.errors import DataError
from llara.evaluate.model_result import ModelResult
from llara.evaluate.slices import SLICINGS, SlicedResults, slice_results
from llara.evaluate.statistics import Interval, PairedTest, paired_test
from llara.evaluate.tasks import SEQUENTIAL, metrics_of
from llara.leakage import LeakageFinding

FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Several models on the same rows and candidates.

    Attributes:
        results: One per model, in table order; their candidate hashes are equal.
        baseline: Name of the model that the others are compared with (the recommender), if any.
        comparisons: Paired test of HR@cutoff against the baseline, by model name, without the baseline itself.
        level: Confidence of all intervals.
        known_leaks: Leaks of the data that were allowed: what the numbers measure beside what they should.
        task: Name of the task, whose metrics tables show.
        sliced_by: What rows are told apart by, by the key of its slicing (see `behavior_of`), each of shape [N].
        members: Names of the results that others are made of, two or more; empty: none is made of others.
    """

    results: tuple[ModelResult, ...]
    baseline: str | None
    comparisons: Mapping[str, PairedTest]
    level: float = 0.95
    known_leaks: tuple[LeakageFinding, ...] = ()
    task: str = SEQUENTIAL.name
    sliced_by: Mapping[str, IntArray] = field(default_factory=dict)
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.results:
            raise DataError("a report needs at least one model's result, found none")
        names = [result.name for result in self.results]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"two results are named '{twice[0]}'. Give each model its own name.")
        unknown = [
            name for name in (self.baseline, *self.comparisons, *self.members) if name is not None and name not in names
        ]
        if unknown:
            raise DataError(f"no result is named '{unknown[0]}'; there are: {', '.join(names)}")
        for other in self.results[1:]:
            _require_same_candidates(self.results[0], other)
        for key, values in self.sliced_by.items():
            _require_sliceable(key, values, rows=self.rows)

    @property
    def num_candidates(self) -> int:
        """Candidates per row."""
        return self.results[0].num_candidates

    @property
    def cutoff(self) -> int:
        """The k of the hit ratio that is shown first and compared."""
        return self.results[0].cutoff

    @property
    def draws(self) -> int:
        """Candidate draws."""
        return self.results[0].draws

    @property
    def rows(self) -> int:
        """Test rows (users)."""
        return self.results[0].rows

    @property
    def candidate_hashes(self) -> tuple[str, ...]:
        """sha256 of each draw's candidate set, shared by all results."""
        return self.results[0].candidate_hashes

    @property
    def random_hit_ratio(self) -> float:
        """HR@cutoff of a blind guess, cutoff / C."""
        return self.cutoff / self.num_candidates

    @cached_property
    def slices(self) -> tuple[SlicedResults, ...]:
        """The results in buckets of rows, one for each entry of `sliced_by`."""
        return tuple(
            slice_results(SLICINGS[key], values, self.results, baseline=self.baseline, level=self.level)
            for key, values in self.sliced_by.items()
        )

    @cached_property
    def ceiling(self) -> ModelResult | None:
        """What an oracle reaches that picks, in each row, the member that ranks the target best; None: no members.

        No weights can do better by choosing between members; a sum of them can, where none of them is right.
        """
        if not self.members:
            return None
        ranks = np.min([self.result(name).ranks for name in self.members], axis=0)
        return replace(self.result(self.members[0]), name="ceiling", ranks=ranks, seconds=0.0, measures={})

    def result(self, name: str) -> ModelResult:
        """The result of the model of that name."""
        for result in self.results:
            if result.name == name:
                return result
        raise DataError(f"no result is named '{name}'; there are: {', '.join(r.name for r in self.results)}")

    def summary(self) -> dict[str, Any]:
        """The numbers without the ranks, ready for `json.dumps`; None stands where a metric does not apply."""
        return {
            "rows": self.rows,
            "users": self.results[0].num_users,
            "draws": self.draws,
            "num_candidates": self.num_candidates,
            "random_hit_ratio": self.random_hit_ratio,
            "candidate_hashes": list(self.candidate_hashes),
            "task": self.task,
            "baseline": self.baseline,
            "level": self.level,
            "known_leaks": [asdict(leak) for leak in self.known_leaks],
            "models": [_model_summary(self, result) for result in self.results],
            "slices": [sliced.summary() for sliced in self.slices],
            "ceiling": _ceiling_summary(self),
        }

    def to_json(self) -> str:
        """Every rank that the numbers are made of, and the numbers for whoever reads the text without us."""
        content = {
            "format_version": FORMAT_VERSION,
            "task": self.task,
            "summary": self.summary(),
            "level": self.level,
            "baseline": self.baseline,
            "comparisons": {name: asdict(test) for name, test in self.comparisons.items()},
            "known_leaks": [asdict(leak) for leak in self.known_leaks],
            "models": [_model_content(result) for result in self.results],
            "sliced_by": {key: values.tolist() for key, values in self.sliced_by.items()},
            "members": list(self.members),
        }
        return json.dumps(content, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "EvaluationReport":
        """Rebuild a report from `to_json`; its numbers are computed again from the ranks.

        Raises:
            DataError: If the text is not such a report.
        """
        try:
            content = json.loads(text)
            version = content["format_version"]
            if version != FORMAT_VERSION:
                raise DataError(
                    f"expected an evaluation report of format version {FORMAT_VERSION}, found version {version}. "
                    f"Run `llara evaluate` to write it anew."
                )
            results = tuple(_result_from(model) for model in content["models"])
            comparisons = {name: _test_from(test) for name, test in content["comparisons"].items()}
            leaks = tuple(LeakageFinding(**leak) for leak in content.get("known_leaks", []))
            sliced_by = {key: np.array(values) for key, values in content.get("sliced_by", {}).items()}
            return cls(
                results,
                content["baseline"],
                comparisons,
                content["level"],
                leaks,
                content.get("task", SEQUENTIAL.name),
                sliced_by,
                tuple(content.get("members", ())),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"expected an evaluation report as JSON, found something else ({type(error).__name__}: {error}). "
                f"Run `llara evaluate` to write it anew."
            ) from error

    def save(self, path: Path) -> None:
        """Write the report as JSON; an earlier file survives an interruption."""
        text = self.to_json()
        write_atomically(path, lambda target: _write_text(target, text))

    @classmethod
    def load(cls, path: Path) -> "EvaluationReport":
        """Read a report written by `save`.

        Raises:
            DataError: If the file is missing or holds something else.
        """
        if not path.is_file():
            raise DataError(f"{path}: there is no such evaluation report. Run `llara evaluate` to write it.")
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (DataError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: {error}") from error


def compare_results(
    results: Sequence[ModelResult],
    *,
    baseline: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    sliced_by: Mapping[str, IntArray] | None = None,
) -> EvaluationReport:
    """Put results side by side and test each against the baseline, usually the recommender.

    Args:
        results: One per model, in table order.
        baseline: Name of the result to compare with; None compares nothing.
        level: Confidence of the intervals.
        seed: Of the resampling.
        sliced_by: What rows are told apart by in the report's slices, see `behavior_of`; None: there are none.

    Raises:
        DataError: If the results were not made on the same candidates or the baseline is not among them.
    """
    alone = EvaluationReport(tuple(results), baseline, {}, level, sliced_by=sliced_by or {})
    if baseline is None:
        return alone
    reference = alone.result(baseline).row_hits()
    users = alone.result(baseline).users
    comparisons = {
        result.name: paired_test(result.row_hits(), reference, level=level, seed=seed, users=users)
        for result in alone.results
        if result.name != baseline
    }
    return replace(alone, comparisons=comparisons)


def _require_sliceable(key: str, values: IntArray, *, rows: int) -> None:
    if key not in SLICINGS:
        raise DataError(f"rows are told apart by one of {', '.join(SLICINGS)}, found '{key}'")
    found = f"{values.dtype} values of shape {values.shape}"
    if values.shape == (rows,) and values.dtype.kind in "iu":
        if values.min() >= 0:
            return
        found = f"numbers from {values.min()}"
    raise DataError(
        f"expected a whole number >= 0 as {key} of each of the {rows} rows, found {found}. Take those of the rows that "
        "were judged."
    )


def _require_same_candidates(first: ModelResult, other: ModelResult) -> None:
    if first.ranks.shape != other.ranks.shape or first.num_candidates != other.num_candidates:
        raise DataError(
            f"model '{first.name}' has {first.draws} draws x {first.rows} rows x {first.num_candidates} candidates, "
            f"model '{other.name}' {other.draws} x {other.rows} x {other.num_candidates}. "
            f"Evaluate both on the same candidate files."
        )
    for draw, (ours, theirs) in enumerate(zip(first.candidate_hashes, other.candidate_hashes, strict=True)):
        if ours != theirs:
            raise DataError(
                f"models '{first.name}' and '{other.name}' were judged on different candidates (draw {draw}: sha256 "
                f"{ours[:12]} and {theirs[:12]}), so their numbers do not compare. "
                f"Evaluate both on the same candidate files."
            )
    if first.cutoff != other.cutoff:
        raise DataError(
            f"model '{first.name}' counts hits among the first {first.cutoff}, model '{other.name}' among the first "
            f"{other.cutoff}. Judge both by one task."
        )
    if (first.task == "full ranking") != (other.task == "full ranking"):
        raise DataError(
            f"model '{first.name}' did {first.task}, model '{other.name}' {other.task}; full ranking never shares a "
            f"table with other tasks. Make one report for each."
        )


def _model_content(result: ModelResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "task": result.task,
        "num_candidates": result.num_candidates,
        "candidate_hashes": list(result.candidate_hashes),
        "seconds": result.seconds,
        "ranks": result.ranks.tolist(),
        "valid": None if result.valid is None else result.valid.tolist(),
        "users": None if result.users is None else result.users.tolist(),
        "cutoff": result.cutoff,
        "measures": {key: _number(value) for key, value in result.measures.items()},
    }


def _model_summary(report: EvaluationReport, result: ModelResult) -> dict[str, Any]:
    comparison = report.comparisons.get(result.name)
    return {
        "name": result.name,
        "task": result.task,
        "hits": result.hits,
        "total": result.total,
        "valid": None if result.valid is None else int(result.valid.sum()),
        "hr@1": result.hr(1),
        f"hr@{result.cutoff}_interval": _interval_content(result.hit_interval(level=report.level)),
        "hr@5": _number(result.hr(5)),
        "hr@10": _number(result.hr(10)),
        "ndcg@5": _number(result.ndcg(5)),
        "ndcg@10": _number(result.ndcg(10)),
        "mrr": _number(result.mrr),
        "valid_ratio": result.valid_ratio,
        "hit_ratio_given_valid": _number(result.hit_ratio_given_valid),
        **{metric.key: _number(metric.value(result)) for metric in metrics_of(report.task)},
        "versus_baseline": None if comparison is None else asdict(comparison),
        "seconds": result.seconds,
    }


def _ceiling_summary(report: EvaluationReport) -> dict[str, Any] | None:
    ceiling = report.ceiling
    if ceiling is None:
        return None
    interval = _interval_content(ceiling.hit_interval(level=report.level))
    metric = f"hr@{report.cutoff}"
    return {"members": list(report.members), metric: ceiling.hit_ratio, f"{metric}_interval": interval}


def _interval_content(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else asdict(interval)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _result_from(model: dict[str, Any]) -> ModelResult:
    valid, users = model["valid"], model.get("users")
    return ModelResult(
        name=model["name"],
        ranks=np.array(model["ranks"], dtype=np.int64),
        num_candidates=model["num_candidates"],
        candidate_hashes=tuple(model["candidate_hashes"]),
        seconds=model["seconds"],
        task=model["task"],
        valid=None if valid is None else np.array(valid, dtype=np.bool_),
        users=None if users is None else np.array(users, dtype=np.int64),
        cutoff=model.get("cutoff", 1),
        measures={key: float("nan") if value is None else value for key, value in model.get("measures", {}).items()},
    )


def _test_from(test: dict[str, Any]) -> PairedTest:
    interval = test["interval"]
    return PairedTest(**{**test, "interval": None if interval is None else Interval(**interval)})


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
