"""What `llara plan` expects against what `llara train` takes, for three runs on the bundled sample.

    python -m benchmarks.plan_check
    make benchmark

Stages that may end early are set to run to their end, since no probe can know when they would.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.data_scale import refresh
from benchmarks.measuring import machine, measure
from llara.ingest.sample import make_sample

_LLARA = str(Path(sys.executable).with_name("llara"))
_FIT = {"fit": {"epochs": 15, "patience": 15}}
_NO_END = [{"share": 1.0, "history": 4, "candidates": 8}, {"share": 1.0, "history": 10, "candidates": 20}]
RUNS: dict[str, dict[str, Any]] = {
    "nano 96 x 3 tuned in full, hybrid with prior and practice": {
        "recommender": _FIT,
        "recommender_prior": True,
        "prior_folds": 2,
        "part_vectors": True,
        "prompt": {"item_text": "{title} ({author}; {subjects})"},
        "practice": {"steps": 80, "phases": _NO_END},
        "backbone": {
            "tuning": "full",
            "nano": {"hidden_size": 96, "num_layers": 3, "num_heads": 4},
            "adapt": {"steps": 40, "batch_size": 8},
        },
        "train": {
            "epochs": 0.4, "batch_size": 32, "micro_batch_size": 32, "validations": 2, "objective": {"name": "sum"},
        },
        "evaluate": {"rows": "dense", "rows_limit": 500, "batch_size": 32},
    },
    "nano 256 x 4 with LoRA, the paper's answers": {
        "recommender": _FIT,
        "backbone": {"tuning": "lora", "nano": {"hidden_size": 256, "num_layers": 4, "num_heads": 4}},
        "train": {"epochs": 0.2, "batch_size": 32, "micro_batch_size": 16, "validations": 2},
        "evaluate": {"batch_size": 16},
    },
    "nano 128 x 6, text-only, listwise": {
        "recommender": _FIT,
        "backbone": {"tuning": "full", "nano": {"hidden_size": 128, "num_layers": 6, "num_heads": 4}},
        "train": {
            "epochs": 0.3, "batch_size": 64, "micro_batch_size": 32, "validations": 3,
            "objective": {"name": "listwise"}, "curriculum": {"kind": "text-only"},
        },
        "evaluate": {"rows": "dense", "rows_limit": 800, "batch_size": 32},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """Expected and actual figures of one run."""

    name: str
    expected_seconds: float
    seconds: float
    expected_bytes: float
    peak_bytes: float
    stages: dict[str, tuple[float, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Plan and make all runs, report both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--document", type=Path, help="Markdown file whose table is replaced")
    parser.add_argument("--scale", type=float, default=1.0, help="of the training epochs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="llara-plan-") as folder:
        make_sample(Path(folder) / "data", seed=0)
        found = [_compare(Path(folder), name, settings, scale=options.scale) for name, settings in RUNS.items()]
    text = as_markdown(found, machine())
    print(text)
    if options.output is not None:
        report = {"machine": machine(), "runs": [vars(entry) for entry in found]}
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, text, mark="plan")


def _compare(folder: Path, name: str, settings: dict[str, Any], *, scale: float) -> Compared:
    config = folder / "config.yaml"
    train = {**settings["train"], "epochs": settings["train"]["epochs"] * scale}
    content = {**settings, "train": train, "output": str(folder / "run"), "data": {"folder": str(folder / "data")}}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    plan = json.loads(measure([_LLARA, "plan", str(config), "--json"])[1])
    cost, output = measure([_LLARA, "train", str(config), "--json", "--force"])
    actual = json.loads(output)["seconds"]
    expected = {stage["name"]: stage["seconds"] for stage in plan["stages"]}
    stages = {stage: (expected.get(stage, 0.0), seconds) for stage, seconds in actual.items()}
    print(f"{name}: {plan['seconds']:.0f} s expected, {cost.wall_seconds:.0f} s; {stages}", file=sys.stderr)
    return Compared(name, plan["seconds"], cost.wall_seconds, plan["peak_bytes"], cost.peak_bytes, stages)


def as_markdown(found: Sequence[Compared], where: dict[str, object]) -> str:
    """One row per run."""
    lines = [
        f"{where['date']}, {where['cores']} cores ({where['processor']}). Wall time of the whole command.",
        "",
        "| run | seconds expected | seconds | off by | memory expected, GB | memory, GB | off by |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for entry in found:
        time_off = entry.expected_seconds / entry.seconds - 1
        memory_off = entry.expected_bytes / entry.peak_bytes - 1
        lines.append(
            f"| {entry.name} | {entry.expected_seconds:.0f} | {entry.seconds:.0f} | {time_off:+.0%} "
            f"| {entry.expected_bytes / 1e9:.2f} | {entry.peak_bytes / 1e9:.2f} | {memory_off:+.0%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
