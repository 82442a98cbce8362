"""Seconds of one training epoch of SASRec on a whole log, and how much of the processor they use.

    llara data import ../shared/data/raw/ml-100k data/ml-100k --source movielens-100k
    python -m benchmarks.recommender_speed data/ml-100k

Fitting runs in a process of its own. The first epoch, which warms up, does not count.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.data_scale import refresh
from benchmarks.measuring import machine, measure


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and report it."""
    options = _parser().parse_args(arguments)
    shape = {name: getattr(options, name) for name in ("batch_size", "history_length", "width", "layers")}
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in shape.items()]
    command = [sys.executable, "-m", "benchmarks.recommender_epoch", str(options.folder)]
    cost, output = measure([*command, f"--epochs={options.epochs}", *settings])
    found = json.loads(output)
    seconds = median(found["epoch_seconds"][1:])
    speed = found["flop_per_epoch"] / seconds
    report = {
        "machine": machine(),
        "options": shape,
        "seconds_per_epoch": seconds,
        "flop_per_second": speed,
        "share_of_peak": speed / found["peak_flop_per_second"],
        **found,
        "cost": asdict(cost),
    }
    text = as_markdown(report)
    print(text)
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, text, mark="recommender-speed")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recommender_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="dataset folder, all of whose interactions are trained on")
    parser.add_argument("--epochs", type=_at_least_two, default=6, help="the median of all but the first counts")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--history-length", type=int, default=50)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--document", type=Path, help="Markdown file whose table is replaced")
    return parser


def _at_least_two(text: str) -> int:
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"expected at least 2 epochs, since the first does not count, got {text}")
    return int(text)


def as_markdown(report: dict[str, Any]) -> str:
    """The figures as a table, under lines that say where and how they were taken."""
    options, epochs = report["options"], report["epoch_seconds"][1:]
    lines = [
        where_and_how(report),
        f"SASRec, {options['layers']} layers, {options['width']} wide, {options['history_length']} items, batches of "
        f"{options['batch_size']} targets; {report['num_interactions']:,} interactions.",
        "",
        "| targets per epoch | seconds per epoch | fastest to slowest | GFLOP/s | of a matrix product's speed "
        "| peak memory, GB | cores busy with other work |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| {report['targets']:,} | {report['seconds_per_epoch']:.2f} | {min(epochs):.2f} to {max(epochs):.2f} "
        f"| {report['flop_per_second'] / 1e9:.0f} | {report['share_of_peak']:.0%} "
        f"| {report['cost']['peak_bytes'] / 1e9:.2f} | {others(report['cost'])} |",
    ]
    return "\n".join(lines)


def where_and_how(report: dict[str, Any]) -> str:
    """Machine, versions, threads and priority, in one line."""
    where, threads = report["machine"], report["threads"]
    niceness = f" at niceness {report['niceness']}" if report["niceness"] else ""
    return (
        f"{where['date']}, {where['cores']} cores ({where['processor']}), of which {threads} "
        f"{'was' if threads == 1 else 'were'} used{niceness}; python {where['versions']['python']}, "
        f"torch {report['torch']}."
    )


def others(cost: dict[str, Any]) -> str:
    """How many cores other work kept busy."""
    return "unknown" if cost["cores_of_others"] is None else f"{cost['cores_of_others']:.1f}"


if __name__ == "__main__":
    main()
