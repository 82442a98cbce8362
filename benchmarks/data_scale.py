"""Time and memory of import, split and example building on generated logs of several sizes.

    python -m benchmarks.data_scale --sizes 2500000 5000000 10000000
    make benchmark

Every stage is a process of its own: `llara data import` as a user runs it, then, for each split method, loading the
folder, splitting it and building all examples. Sizes are numbers of interactions.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.measuring import Cost, growth_exponent, machine, measure

_METHODS = ("users", "leave-one-out", "time")
_WHOLE = "import + slowest split"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and report it."""
    options = _parser().parse_args(arguments)
    costs = {size: _costs_of_size(size, options) for size in sorted(options.sizes)}
    report = {
        "machine": machine(),
        "options": {name: getattr(options, name) for name in ("rows_per_user", "items", "form", "ids", "repeats")},
        "costs": {size: {stage: asdict(cost) for stage, cost in stages.items()} for size, stages in costs.items()},
        "growth_exponents": _exponents(costs) if len(costs) > 1 else {},
    }
    text = as_markdown(report)
    print(text)
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, text, mark=options.mark)
    if options.picture is not None:
        draw_elsewhere("benchmarks.data_scale_picture", report, options.picture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data_scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_500_000, 5_000_000, 10_000_000])
    parser.add_argument("--rows-per-user", type=int, default=10, help="on average; the number of users follows")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--form", default="csv", help="of the interactions file: csv or parquet")
    parser.add_argument("--ids", default="integer", help="integer, or text of fourteen characters")
    parser.add_argument("--methods", nargs="+", choices=_METHODS, default=list(_METHODS))
    parser.add_argument("--repeats", type=int, default=3, help="the fastest run counts, and the largest memory")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "llara-benchmark")
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--document", type=Path, help="Markdown file whose table is replaced")
    parser.add_argument("--mark", default="data-scale", help="name of the comments around that table")
    parser.add_argument("--picture", type=Path, help="PNG file for the curves")
    return parser


def _costs_of_size(size: int, options: argparse.Namespace) -> dict[str, Cost]:
    """Cost of each stage and of the whole path."""
    users = max(1, size // options.rows_per_user)
    source = options.folder / f"{options.form}-{options.ids}-{size}-rows-{users}-users-{options.items}-items"
    shape = [f"--rows={size}", f"--users={users}", f"--items={options.items}"]
    files = [f"--form={options.form}", f"--ids={options.ids}"]
    measure([sys.executable, "-m", "benchmarks.generated_log", str(source), *shape, *files])
    rounds = [_costs_of_round(size, source, options) for _ in range(options.repeats)]
    costs = {stage: _fastest([costs[stage] for costs in rounds]) for stage in rounds[0]}
    return {**costs, _WHOLE: _whole(costs)}


def _costs_of_round(size: int, source: Path, options: argparse.Namespace) -> dict[str, Cost]:
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="dataset-") as folder:
        dataset = str(Path(folder) / "dataset")
        files = [str(source / f"interactions.{options.form}"), dataset, "--items", str(source / "items.csv")]
        llara = str(Path(sys.executable).with_name("llara"))
        costs = {"import": _stage(size, "import", [llara, "data", "import", *files, "--json"])}
        for method in options.methods:
            command = [sys.executable, "-m", "benchmarks.load_and_split", dataset, "--method", method]
            costs[method] = _stage(size, method, command)
    return costs


def _stage(size: int, name: str, command: list[str]) -> Cost:
    cost, output = measure(command)
    found = json.loads(output)["num_interactions"]
    if found != size:
        raise SystemExit(f"{name}: {found:,} interactions of {size:,} came through")
    print(f"{size:,} rows, {name}: {cost.wall_seconds:.1f} s, {cost.peak_bytes / 1e9:.2f} GB", file=sys.stderr)
    return cost


def _fastest(runs: list[Cost]) -> Cost:
    """The run that other work disturbed least, with the largest memory of all."""
    fastest = min(runs, key=lambda cost: cost.wall_seconds)
    return replace(fastest, peak_bytes=max(cost.peak_bytes for cost in runs))


def _whole(costs: dict[str, Cost]) -> Cost:
    """The import and, after it, the slowest of the methods; the largest memory of all."""
    methods = [cost for stage, cost in costs.items() if stage != "import"]
    parts = [costs["import"], max(methods, key=lambda cost: cost.wall_seconds)]
    wall = sum(cost.wall_seconds for cost in parts)
    busy = [cost.cores_of_others * cost.wall_seconds for cost in parts if cost.cores_of_others is not None]
    return Cost(
        wall_seconds=wall,
        cpu_seconds=sum(cost.cpu_seconds for cost in parts),
        peak_bytes=max(cost.peak_bytes for cost in costs.values()),
        cores_of_others=sum(busy) / wall if busy else None,
    )


def _exponents(costs: dict[int, dict[str, Cost]]) -> dict[str, dict[str, float]]:
    fields = ("wall_seconds", "cpu_seconds", "peak_bytes")
    return {
        stage: {
            field: growth_exponent({size: getattr(stages[stage], field) for size, stages in costs.items()})
            for field in fields
        }
        for stage in next(iter(costs.values()))
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Tables of the figures, under a line that says where and when they were taken."""
    where, options = report["machine"], report["options"]
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    lines = [
        f"{where['date']}, {where['cores']} cores ({where['processor']}), {where['memory_bytes'] / 1e9:.0f} GB, "
        f"{where['system']}; {versions}.",
        f"{options['form']} file, {options['ids']} identifiers, "
        f"{options['rows_per_user']} interactions per user, {options['items']:,} items; "
        f"{'one run' if options['repeats'] == 1 else 'fastest of {repeats} runs'.format(**options)}.",
        "",
        "| interactions | stage | seconds | CPU seconds | rows/s | peak memory, GB | cores busy with other work |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for size, stages in report["costs"].items():
        for stage, cost in stages.items():
            others = "unknown" if cost["cores_of_others"] is None else f"{cost['cores_of_others']:.1f}"
            lines.append(
                f"| {int(size):,} | {stage} | {cost['wall_seconds']:.1f} | {cost['cpu_seconds']:.1f} "
                f"| {int(size) / cost['wall_seconds']:,.0f} | {cost['peak_bytes'] / 1e9:.2f} | {others} |"
            )
    if report["growth_exponents"]:
        lines += ["", "| growth exponent | seconds | CPU seconds | peak memory |", "|---|---:|---:|---:|"]
    for stage, fitted in report["growth_exponents"].items():
        figures = " | ".join(f"{fitted[field]:.2f}" for field in ("wall_seconds", "cpu_seconds", "peak_bytes"))
        lines.append(f"| {stage} | {figures} |")
    return "\n".join(lines)


def refresh(document: Path, text: str, *, mark: str) -> None:
    """Put the text between two comments of a Markdown file, `<!-- mark:start -->` and `<!-- mark:end -->`.

    Raises:
        SystemExit: If they are not there, in this order.
    """
    start, end = f"<!-- {mark}:start -->", f"<!-- {mark}:end -->"
    before, found_start, rest = document.read_text(encoding="utf-8").partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise SystemExit(f"{document} has no place for the figures: {start} and {end}")
    document.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def draw_elsewhere(module: str, report: dict[str, Any], picture: Path) -> None:
    """Let a module draw a report, in a process of its own, which keeps this one small."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "report.json"
        figures.write_text(json.dumps(report), encoding="utf-8")
        measure([sys.executable, "-m", module, str(figures), str(picture)])


if __name__ == "__main__":
    main()
