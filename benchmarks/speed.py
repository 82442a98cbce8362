"""Training and scoring against a plain implementation, as ratios within one run.

    python -m benchmarks.speed
    make benchmark-speed

Every stage is a process of its own (`benchmarks.speed_stage`); stages alternate over several rounds, and the fastest
round of each counts, since other work on the machine only ever slows down.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data_scale import draw_elsewhere, refresh
from benchmarks.measuring import Cost, machine, measure

_PRECISIONS = ("float32", "bfloat16")
_ROWS = {"train": 32, "answer": 96, "listwise": 96, "reference-train": 16, "reference-generate": 8, "reference-each": 2}
_SMALL_ROWS = {name: 4 * rows for name, rows in _ROWS.items()}
_GOALS: list[tuple[str, str, str, dict[str, float]]] = [
    ("exact scoring of 20 candidates, against generation", "answer", "reference-generate",
     {"float32": 2.0, "bfloat16": 3.5}),
    ("exact scoring, against one pass per candidate", "answer", "reference-each", {"float32": 18.0, "bfloat16": 18.0}),
    ("listwise scoring, against generation", "listwise", "reference-generate", {"float32": 5.0, "bfloat16": 5.0}),
    ("LoRA training, against the reference", "train", "reference-train", {"float32": 2.0, "bfloat16": 2.5}),
]  # fmt: skip
_SHARES = {"train": 0.45, "answer": 0.6, "listwise": 0.6}
_MEMORY = 0.6
Stages = dict[str, dict[str, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and report it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "llara-speed")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--shapes", nargs="+", choices=("135m", "smollm2", "nano"), default=["135m", "nano"])
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--document", type=Path, help="Markdown file whose tables are replaced")
    parser.add_argument("--picture", type=Path, help="PNG file for the bars")
    options = parser.parse_args(arguments)
    _stage(options.folder, "prepare")
    report: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "shapes": {}}
    for shape in options.shapes:
        report["shapes"][shape] = {
            precision: _measured(options.folder, shape, precision, options.rounds) for precision in _PRECISIONS
        }
    text = as_markdown(report)
    print(text)
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, text, mark="speed")
    if options.picture is not None:
        draw_elsewhere("benchmarks.speed_picture", report, options.picture)


def _measured(folder: Path, shape: str, precision: str, rounds: int) -> Stages:
    """Figures of each stage: those of its fastest round, with the largest memory of all."""
    rows = _SMALL_ROWS if shape == "nano" else _ROWS
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for stage in ("peak", *rows):
            options = ["--precision", precision, "--shape", shape, "--rows", str(rows.get(stage, 0))]
            cost, figures = _stage(folder, stage, *options)
            found.setdefault(stage, []).append({**figures, **_conditions(cost)})
            rate = figures.get("rows_per_second", figures["flops"] / 1e9 if "flops" in figures else 0.0)
            print(f"{shape} {precision} {stage}: {rate:.2f}", file=sys.stderr)
    best = {}
    for stage, runs in found.items():
        fastest = max(runs, key=lambda run: run.get("rows_per_second", run.get("flops", 0.0)))
        best[stage] = {**fastest, "peak_bytes": max(run["peak_bytes"] for run in runs)}
    return best


def _stage(folder: Path, stage: str, *options: str) -> tuple[Cost, dict[str, float]]:
    cost, output = measure([sys.executable, "-m", "benchmarks.speed_stage", str(folder), stage, *options])
    figures: dict[str, float] = json.loads(output)
    return cost, figures


def _conditions(cost: Cost) -> dict[str, float]:
    others = cost.cores_of_others
    return {"peak_bytes": cost.peak_bytes, "cores_of_others": -1.0 if others is None else others}


def as_markdown(report: dict[str, Any]) -> str:
    """Tables of the figures, under a line that says where and when they were taken."""
    where = report["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    lines = [
        f"{where['date']}, {where['cores']} cores ({where['processor']}), {where['memory_bytes'] / 1e9:.0f} GB, "
        f"{where['system']}; {versions}. "
        + ("One round." if report["rounds"] == 1 else f"Fastest of {report['rounds']} rounds."),
        "",
    ]
    if "135m" in report["shapes"]:
        lines += [*_goal_table(report["shapes"]["135m"]), ""]
    for shape, measured in report["shapes"].items():
        lines += [*_stage_table(shape, measured), ""]
    return "\n".join(lines).rstrip()


def _goal_table(measured: dict[str, Stages]) -> list[str]:
    lines = ["| 135 M | precision | goal | reached | |", "|---|---|---:|---:|---|"]
    for what, ours, theirs, goals in _GOALS:
        for precision, goal in goals.items():
            stages = measured[precision]
            ratio = stages[ours]["rows_per_second"] / stages[theirs]["rows_per_second"]
            lines.append(f"| {what} | {precision} | {goal:g} x | {ratio:.2f} x | {_verdict(ratio >= goal)} |")
    stages = measured["bfloat16"]
    for stage, goal in _SHARES.items():
        share = stages[stage]["flops"] / stages["peak"]["flops"]
        lines.append(
            f"| {stage}: share of the matrix peak | bfloat16 | {goal:.0%} | {share:.0%} | {_verdict(share >= goal)} |"
        )
    for precision in _PRECISIONS:
        stages = measured[precision]
        share = stages["train"]["peak_bytes"] / stages["reference-train"]["peak_bytes"]
        lines.append(
            f"| peak memory of training, of the reference's | {precision} | {_MEMORY:.0%} | {share:.0%} "
            f"| {_verdict(share <= _MEMORY)} |"
        )
    return lines


def _verdict(is_reached: bool) -> str:
    return "yes" if is_reached else "**no**"


def _stage_table(shape: str, measured: dict[str, Stages]) -> list[str]:
    lines = [
        f"| {shape} | precision | rows/s | GFLOP/s | of the peak | peak memory, GB | cores busy with other work |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for precision, stages in measured.items():
        peak = stages["peak"]["flops"]
        for stage, figures in stages.items():
            rate = f"{figures['rows_per_second']:.2f}" if "rows_per_second" in figures else ""
            flops = f"{figures['flops'] / 1e9:.0f} | {figures['flops'] / peak:.0%}" if "flops" in figures else " | "
            lines.append(
                f"| {stage} | {precision} | {rate} | {flops} | {figures['peak_bytes'] / 1e9:.2f} "
                f"| {figures['cores_of_others']:.1f} |"
            )
    return lines


if __name__ == "__main__":
    main()
