"""What a sweep found: each combination's hit ratio, and which differences the rows support after many comparisons."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llara.data import IntArray
from llara.errors import DataError
from llara.evaluate import EvaluationReport, FloatArray, Interval, PairedTest, Verdict, paired_test
from llara.evaluate.statistics import hit_ratio_interval, holm
from llara.run.folder import EVALUATION_FILE
from llara.run.sweep.cells import Cell, Sweep


@dataclass(frozen=True)
class Compared:
    """A difference of two hit ratios on the same rows.

    Attributes:
        name: What is compared.
        against: What it is compared with.
        test: Paired over users.
        adjusted: p-value after Holm's correction for all comparisons of the page.
        verdict: "better" or "worse" where the interval excludes 0 and the adjusted p-value is at most 1 - level.
    """

    name: str
    against: str
    test: PairedTest
    adjusted: float
    verdict: Verdict


@dataclass(frozen=True)
class FoundCell:
    """What a combination reached.

    Attributes:
        cell: Its options and runs.
        model: The model whose numbers these are, as the runs' tables call it.
        hit_ratio: Mean over seeds and draws.
        interval: Over users; None where they say nothing about others.
        baseline: Hit ratio of its recommender.
        minutes: Of each run.
    """

    cell: Cell
    model: str
    hit_ratio: float
    interval: Interval | None
    baseline: float | None
    minutes: tuple[float, ...]


@dataclass(frozen=True)
class SweepResults:
    """All of it.

    Attributes:
        cells: Best first.
        against_first: Each other combination against the first of the file.
        options: Each other option of an axis against its first, over all combinations that have both.
        rows: How many rows each combination was judged on.
        users: How many users they are of.
        draws: Candidate draws.
        level: Confidence of the intervals.
    """

    cells: tuple[FoundCell, ...]
    against_first: tuple[Compared, ...]
    options: Mapping[str, tuple[Compared, ...]]
    rows: int
    users: int
    draws: int
    level: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rows": self.rows, "users": self.users, "draws": self.draws, "level": self.level,
            "cells": [
                {
                    "options": dict(found.cell.options), "model": found.model, "hr@1": found.hit_ratio,
                    "interval": None if found.interval is None else asdict(found.interval),
                    "recommender_hr@1": found.baseline, "minutes": list(found.minutes),
                    "runs": [run.output for run in found.cell.runs],
                }
                for found in self.cells
            ],
            "against_first": [asdict(compared) for compared in self.against_first],
            "options": {axis: [asdict(compared) for compared in found] for axis, found in self.options.items()},
        }  # fmt: skip


def compare_cells(sweep: Sweep) -> SweepResults:
    """Read what the finished runs of a sweep found; cells that are not finished are left out.

    Raises:
        DataError: If the first combination or all others are missing, or runs were judged on other candidates.
    """
    reports = {cell.name: _reports(cell) for cell in sweep.cells}
    done = [cell for cell in sweep.cells if reports[cell.name] is not None]
    if len(done) < 2 or done[0] != sweep.cells[0]:
        raise DataError(
            f"{sweep.output}: expected the runs of '{sweep.cells[0].name}' and of another combination to be finished, "
            f"found {len(done)} finished combinations. Run the sweep again: it goes on where it stopped."
        )
    first = _known(reports, done[0])[0]
    for cell in done:
        for report in _known(reports, cell):
            if report.candidate_hashes != first.candidate_hashes:
                raise DataError(f"'{cell.name}' was judged on other candidates than '{done[0].name}'.")
    users, level = first.results[0].users, first.level
    hits = {cell.name: _mean_hits(_known(reports, cell)) for cell in done}
    pairs = [(cell.name, done[0].name, hits[cell.name], hits[done[0].name]) for cell in done[1:]]
    by_axis = {axis: _option_pairs(axis, options, done, hits) for axis, options in sweep.axes.items()}
    compared = _compared([*pairs, *(pair for found in by_axis.values() for pair in found)], users, level)
    sizes = [len(pairs), *(len(found) for found in by_axis.values())]
    parts = [compared[end - size : end] for size, end in zip(sizes, np.cumsum(sizes).tolist(), strict=True)]
    cells = [_found(cell, _known(reports, cell), hits[cell.name], users, level) for cell in done]
    return SweepResults(
        cells=tuple(sorted(cells, key=lambda found: -found.hit_ratio)),
        against_first=tuple(parts[0]),
        options={axis: tuple(part) for axis, part in zip(by_axis, parts[1:], strict=True) if part},
        rows=first.rows, users=first.results[0].num_users, draws=first.draws, level=level,
    )  # fmt: skip


def _reports(cell: Cell) -> list[EvaluationReport] | None:
    files = [Path(run.output) / EVALUATION_FILE for run in cell.runs]
    return [EvaluationReport.load(file) for file in files] if all(file.is_file() for file in files) else None


def _known(reports: Mapping[str, list[EvaluationReport] | None], cell: Cell) -> list[EvaluationReport]:
    found = reports[cell.name]
    assert found is not None
    return found


def _model(report: EvaluationReport) -> str:
    """The run's own model: the first LLaRA of its table."""
    return next(result.name for result in report.results if "LLaRA (" in result.name)


def _mean_hits(reports: Sequence[EvaluationReport]) -> FloatArray:
    found: FloatArray = np.mean([report.result(_model(report)).row_hits() for report in reports], axis=0)
    return found


_Pair = tuple[str, str, FloatArray, FloatArray]


def _option_pairs(
    axis: str, options: Sequence[str], cells: Sequence[Cell], hits: Mapping[str, FloatArray]
) -> list[_Pair]:
    """Each option of an axis and its first one, with the mean hits of the combinations that exist with both."""
    by_rest = {(_rest(cell, axis), cell.options[axis]): hits[cell.name] for cell in cells}
    found = []
    for option in options[1:]:
        rests = [rest for rest, of in by_rest if of == option and (rest, options[0]) in by_rest]
        if rests:
            ours, theirs = ([by_rest[rest, name] for rest in rests] for name in (option, options[0]))
            found.append((option, options[0], np.mean(ours, axis=0), np.mean(theirs, axis=0)))
    return found


def _rest(cell: Cell, axis: str) -> tuple[str, ...]:
    return tuple(option for name, option in cell.options.items() if name != axis)


def _compared(pairs: Sequence[_Pair], users: IntArray | None, level: float) -> list[Compared]:
    tests = [paired_test(ours, theirs, level=level, users=users) for _, _, ours, theirs in pairs]
    adjusted = holm([test.p_value for test in tests])
    return [
        Compared(name, against, test, p, test.verdict if test.verdict == "not decided" or p <= 1 - level else "tie")
        for (name, against, _, _), test, p in zip(pairs, tests, adjusted, strict=True)
    ]


def _found(
    cell: Cell, reports: Sequence[EvaluationReport], hits: FloatArray, users: IntArray | None, level: float
) -> FoundCell:
    manifests = [json.loads((Path(run.output) / "manifest.json").read_text(encoding="utf-8")) for run in cell.runs]
    baselines = [report.result(report.baseline).hit_ratio for report in reports if report.baseline is not None]
    return FoundCell(
        cell, _model(reports[0]), float(hits.mean()), hit_ratio_interval(hits, level=level, users=users),
        float(np.mean(baselines)) if baselines else None,
        tuple(round(sum(manifest["seconds"].values()) / 60, 1) for manifest in manifests),
    )  # fmt: skip
