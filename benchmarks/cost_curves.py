"""How cost grows with candidates, history length and catalog size.

    python -m benchmarks.cost_curves
    make benchmark

Scoring is that of the 135 M model in bfloat16 on random histories and candidates; retrieval is one request to a SASRec
of width 64, which scores the whole catalog and takes the best 50.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data_scale import refresh
from benchmarks.measuring import growth_exponent, machine
from benchmarks.workload import open_llara, open_workload, prepare
from llara.model import Llara, score_candidates
from llara.model.retrieval import best_unseen
from llara.recommender import RecommenderConfig, build_recommender

_CANDIDATES = (5, 20, 100)
_HISTORIES = (5, 10, 50)
_DRAWS = (1, 5, 20)
_CATALOGS = (1_000, 100_000, 1_000_000)
_SCORERS = ("listwise", "answer")
Curves = dict[str, dict[int, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all curves and report them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "llara-speed")
    parser.add_argument("--shape", choices=("135m", "nano", "tiny"), default="135m")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--catalogs", type=int, nargs="+", default=_CATALOGS)
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--document", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args(arguments)
    prepare(options.folder, shapes=[options.shape])
    llara = open_llara(options.folder, options.shape, open_workload(options.folder), precision="bfloat16")
    curves: Curves = {}
    for scorer in _SCORERS:
        curves[f"{scorer} scoring, candidates"] = {
            count: _rows_per_second(llara, scorer, options.rows, history=10, candidates=count) for count in _CANDIDATES
        }
        curves[f"{scorer} scoring, history length"] = {
            length: _rows_per_second(llara, scorer, options.rows, history=length, candidates=20)
            for length in _HISTORIES
        }
        curves[f"{scorer} scoring, draws of a history"] = {
            draws: _rows_per_second(llara, scorer, max(options.rows, 2 * draws), history=10, candidates=20, draws=draws)
            for draws in _DRAWS
        }
    curves["retrieval, catalog"] = {size: _requests_per_second(size) for size in options.catalogs}
    report = {"machine": machine(), "shape": options.shape, "curves": curves}
    text = as_markdown(report)
    print(text)
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, text, mark="cost-curves")


def _rows_per_second(llara: Llara, scorer: str, rows: int, *, history: int, candidates: int, draws: int = 1) -> float:
    rng = np.random.default_rng([history, candidates])
    drawn = np.array(
        [rng.choice(llara.catalog.num_items, history + candidates, replace=False) + 1 for _ in range(rows)]
    )
    # The history of every row, or of the first of so many rows in place of their own.
    first = np.arange(rows) // draws * draws
    histories, shown = drawn[first, :history].tolist(), drawn[:, history:].tolist()

    def score() -> None:
        score_candidates(llara, histories, shown, scorer=scorer, batch_size=8)  # type: ignore[arg-type]

    with llara.folded():
        score_candidates(llara, histories[:8], shown[:8], scorer=scorer, batch_size=8)  # type: ignore[arg-type]
        return rows / _fastest(score, times=2)


def _requests_per_second(num_items: int) -> float:
    recommender = build_recommender(RecommenderConfig(), num_items=num_items).eval()
    history = list(range(1, 11))
    best_unseen(recommender, history, count=50, seen=history)
    return 1 / _fastest(lambda: best_unseen(recommender, history, count=50, seen=history), times=20)


def _fastest(run: Callable[[], object], *, times: int) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def as_markdown(report: dict[str, Any]) -> str:
    """One row per curve: rates at three sizes and the exponent of the seconds."""
    where = report["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    lines = [
        f"{where['date']}, {where['cores']} cores ({where['processor']}), {where['system']}; {versions}. "
        f"Shape {report['shape']}, bfloat16.",
        "",
        "| what grows | size: rows or requests per second | exponent of the seconds |",
        "|---|---|---:|",
    ]
    for name, rates in report["curves"].items():
        shown = ", ".join(f"{int(size):,}: {rate:,.2f}" for size, rate in rates.items())
        exponent = growth_exponent({int(size): 1 / rate for size, rate in rates.items()})
        lines.append(f"| {name} | {shown} | {exponent:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
