r"""Our SASRec against RecBole's on the same log: every user's last item, ranked in the whole catalog.

RecBole needs an environment of its own, since it runs on no current NumPy:

    python -m benchmarks.recbole_comparison write data/ml-100k /tmp/recbole
    python3 -m venv /tmp/recbole/venv
    /tmp/recbole/venv/bin/pip install torch==2.13.0 recbole==1.2.1 thop 'setuptools<80' \
        'numpy<2' 'pandas<3' 'scipy<1.15'
    /tmp/recbole/venv/bin/python benchmarks/recbole_sasrec.py /tmp/recbole /tmp/recbole/ranks.json --max-minutes 60
    python -m benchmarks.recbole_comparison compare data/ml-100k /tmp/recbole/ranks.json

Both choose their epoch by NDCG@10 of the second-last items. Ours has its default settings, RecBole's SASRec those of
RecBole with the softmax loss. Users and items are written as our numbers, times as places in the user's sequence, so
that both have the same order where times are equal.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.data_scale import refresh
from benchmarks.measuring import ends, machine
from benchmarks.recommender_fit import Progress, last_rows, without_last
from llara.data import Dataset, IntArray, SplitConfig, load_dataset, split_dataset
from llara.evaluate import FloatArray, bootstrap_interval, paired_test
from llara.recommender import FitConfig, SASRec, SASRecConfig, rank_in_catalog

_K = 10
_WIDTH = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the log for RecBole, or compare with its ranks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="write the log in RecBole's format")
    write.add_argument("folder", type=Path, help="dataset folder")
    write.add_argument("target", type=Path, help="folder for log/log.inter")
    compare = commands.add_parser("compare", help="fit our SASRec and compare")
    compare.add_argument("folder", type=Path, help="dataset folder")
    compare.add_argument("ranks", type=Path, help="what benchmarks/recbole_sasrec.py wrote")
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("--epochs", type=int, default=FitConfig.epochs)
    compare.add_argument("--output", type=Path, help="JSON file for all figures")
    compare.add_argument("--document", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args(arguments)
    dataset = load_dataset(options.folder)
    if options.command == "write":
        write_log(dataset, options.target)
        return
    report = compared(dataset, json.loads(options.ranks.read_text()), seed=options.seed, epochs=options.epochs)
    text = as_markdown(report)
    print(text)
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, text, mark="recbole")


def write_log(dataset: Dataset, target: Path) -> None:
    """All interactions as `log/log.inter` below the folder."""
    sequences = dataset.log.sequences
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)
    places = np.arange(len(sequences.items)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    (target / "log").mkdir(parents=True, exist_ok=True)
    header = "user_id:token\titem_id:token\ttimestamp:float"
    rows = np.stack([users, sequences.items, places], axis=1)
    np.savetxt(target / "log" / "log.inter", rows, fmt="%d", delimiter="\t", header=header, comments="")


def compared(dataset: Dataset, theirs: dict[str, Any], *, seed: int, epochs: int) -> dict[str, Any]:
    """Fit ours, and judge both by the same ranks.

    Raises:
        SystemExit: If RecBole ranked other targets than ours.
    """
    sequences = dataset.log.sequences
    split = split_dataset(dataset, SplitConfig(method="leave-one-out", history_length=1, min_history=1))
    config = FitConfig(seed=seed, epochs=epochs)
    recommender = SASRec(dataset.catalog.num_items, SASRecConfig(), width=_WIDTH, seed=seed)
    progress = Progress(recommender, max_seconds=float("inf"))
    best = progress.fit(split.train_sequences, validation=last_rows(without_last(sequences)), config=config)
    test = last_rows(sequences)
    ranked = [theirs["targets"].get(str(user)) for user in test.user_index]
    targets = [None if row is None else int(row["target"]) for row in ranked]
    if targets != test.target.tolist():
        raise SystemExit("RecBole ranked other targets than the last items of this dataset. Run `write` and it again.")
    ranks = {"ours": rank_in_catalog(recommender, test), "RecBole": np.array([row["rank"] for row in ranked])}
    gains = {name: gain(found) for name, found in ranks.items()}
    difference = paired_test(gains["ours"], gains["RecBole"])
    return {
        "machine": machine(),
        "num_users": len(test),
        "num_items": dataset.catalog.num_items,
        "ndcg_at_10": {name: _with_interval(values) for name, values in gains.items()},
        "hit_ratio_at_10": {name: float((found <= _K).mean()) for name, found in ranks.items()},
        "difference": [difference.difference, *ends(difference.interval)],
        "p_value": difference.p_value,
        "verdict": difference.verdict,
        "ours": _course([record.seconds for record in progress.records], best.epoch, torch.get_num_threads()),
        "RecBole": _course([record["seconds"] for record in theirs["epochs"]], theirs["best_epoch"], theirs["threads"]),
        "validation": {
            "ours": best.validation_ndcg,
            "RecBole, its own ranking": max(record["valid_ndcg"] for record in theirs["epochs"]),
        },
        "recbole": {name: theirs[name] for name in ("version", "torch", "numpy", "settings", "its_own_ndcg")},
    }


def gain(ranks: IntArray) -> FloatArray:
    """NDCG@10 of each row with one target."""
    return np.where(ranks <= _K, 1.0 / np.log2(ranks + 1.0), 0.0)


def _with_interval(values: FloatArray) -> list[float]:
    return [float(values.mean()), *ends(bootstrap_interval(values))]


def _course(seconds: Sequence[float], best: int, threads: int) -> dict[str, float]:
    return {"epochs": len(seconds), "best_epoch": best, "seconds": seconds[-1], "threads": threads}


def as_markdown(report: dict[str, Any]) -> str:
    """One row per program."""
    where, recbole = report["machine"], report["recbole"]
    lines = [
        f"{where['date']}, {where['cores']} cores ({where['processor']}); RecBole {recbole['version']} with torch "
        f"{recbole['torch']} and NumPy {recbole['numpy']}.",
        f"{report['num_users']:,} users, {report['num_items']:,} items.",
        "",
        "| SASRec of | test NDCG@10 [95% interval] | HR@10 | best epoch | epochs | seconds per epoch | threads |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in ("ours", "RecBole"):
        value, low, high = report["ndcg_at_10"][name]
        course = report[name]
        lines.append(
            f"| {'llara' if name == 'ours' else name} | {value:.4f} [{low:.4f}, {high:.4f}] "
            f"| {report['hit_ratio_at_10'][name]:.4f} | {course['best_epoch']} | {course['epochs']} "
            f"| {course['seconds'] / course['epochs']:.1f} | {course['threads']} |"
        )
    value, low, high = report["difference"]
    lines += [
        "",
        f"llara - RecBole: {value:+.4f} [{low:+.4f}, {high:+.4f}], p = {report['p_value']:.4f}: {report['verdict']}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
