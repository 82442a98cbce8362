"""HR@10 and NDCG@10 of SASRec on every user's last item, ranked among all items that the user has not had.

    llara data import ../shared/data/movielens_1m/interactions.parquet data/ml-1m --missing-items cut \
        --items ../shared/data/movielens_1m/items.parquet --time position --time-unit order --noun movie
    python -m benchmarks.recommender_quality data/ml-1m --part test

Fitting runs in a process of its own. Further options, such as --width 128, go to it; `python -m
benchmarks.recommender_fit --help` lists them. Settings are chosen without `--part test`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.data_scale import refresh
from benchmarks.measuring import machine, measure
from benchmarks.recommender_speed import others, where_and_how


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and report it."""
    options, further = _parser().parse_known_args(arguments)
    command = [sys.executable, "-m", "benchmarks.recommender_fit", str(options.folder), *further]
    cost, output = measure(command)
    report = {"machine": machine(), **json.loads(output), "cost": asdict(cost)}
    print(json.dumps(report, indent=2))
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, as_markdown(report), mark="recommender-quality")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recommender_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="dataset folder; each user's last two items are held out")
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--document", type=Path, help="Markdown file whose table is replaced")
    return parser


def as_markdown(report: dict[str, Any]) -> str:
    """The figures as a table, under lines that say where and how they were taken."""
    settings = ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    lines = [
        where_and_how(report),
        f"{report['training_targets']:,} training targets, {report['num_items']:,} items; {settings}. "
        f"Best of {report['epochs_run']} epochs by {report['rows_for_stopping']:,} validation rows: "
        f"{report['best_epoch']}.",
        "",
        "| rows | users | HR@10 [95% interval] | NDCG@10 [95% interval] |",
        "|---|---:|---:|---:|",
    ]
    for name, part in report["parts"].items():
        hit_ratio, ndcg = (
            f"{part[metric]:.4f} [{part[interval][0]:.4f}, {part[interval][1]:.4f}]"
            for metric, interval in (("hit_ratio_at_10", "hit_ratio_interval"), ("ndcg_at_10", "ndcg_interval"))
        )
        lines.append(f"| {name} | {part['num_users']:,} | {hit_ratio} | {ndcg} |")
    cost = report["cost"]
    lines += [
        "",
        "| seconds of fitting | of everything | CPU seconds | peak memory, GB | cores busy with other work |",
        "|---:|---:|---:|---:|---:|",
        f"| {report['fit_seconds']:,.0f} | {cost['wall_seconds']:,.0f} | {cost['cpu_seconds']:,.0f} "
        f"| {cost['peak_bytes'] / 1e9:.2f} | {others(cost)} |",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
