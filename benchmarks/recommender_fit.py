"""Fit a SASRec, choose the epoch by validation and rank the last items; one JSON object on stdout.

python -m benchmarks.recommender_fit FOLDER --part test
"""

import argparse
import copy
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import ends
from llara.data import Dataset, Examples, Sequences, SplitConfig, last_examples, load_dataset, split_dataset
from llara.evaluate import bootstrap_interval, hit_ratio, ndcg, wilson_interval
from llara.recommender import (
    EpochRecord,
    FitConfig,
    Recommender,
    SASRec,
    SASRecConfig,
    fit_recommender,
    rank_in_catalog,
)

_K = 10
_SEED_OF_USERS = 1


class _TimeIsUpError(Exception):
    pass


class Progress:
    """Follows fitting, keeps the best weights and ends it after the epoch in which the time is up.

    Attributes:
        records: One per epoch.
        best: The record with the best NDCG@10, the first of equal ones; None before the first epoch.
    """

    def __init__(self, recommender: Recommender, *, max_seconds: float) -> None:
        self.records: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self._recommender = recommender
        self._max_seconds = max_seconds
        self._weights: dict[str, Tensor] = {}

    def fit(self, sequences: Sequences, *, validation: Examples, config: FitConfig) -> EpochRecord:
        """Fit the recommender, which ends with the weights of the best epoch; the record of that epoch."""
        with suppress(_TimeIsUpError):
            fit_recommender(self._recommender, sequences, validation=validation, config=config, on_epoch=self._follow)
        assert self.best is not None, "a config has at least one epoch"
        self._recommender.load_state_dict(self._weights)
        return self.best

    def _follow(self, record: EpochRecord) -> None:
        print(
            f"epoch {record.epoch}: loss {record.loss:.4f}, validation NDCG@10 {record.validation_ndcg:.4f}, "
            f"HR@10 {record.validation_hit_ratio:.4f}, {record.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        self.records.append(record)
        if self.best is None or record.validation_ndcg > self.best.validation_ndcg:
            self.best, self._weights = record, copy.deepcopy(self._recommender.state_dict())
        if record.seconds > self._max_seconds:
            raise _TimeIsUpError


def main() -> None:
    """Run the stage on the folder named on the command line."""
    options = _options()
    dataset = load_dataset(options.folder)
    # Histories of the split itself are not used: whole ones, for every training row, would fill the memory.
    split = split_dataset(dataset, SplitConfig(method="leave-one-out", history_length=1, min_history=1))
    parts = _held_out(dataset, options)
    model = SASRecConfig(
        max_length=options.history_length, layers=options.layers, heads=options.heads, dropout=options.dropout
    )
    config = _fit_config(options)
    recommender = SASRec(dataset.catalog.num_items, model, width=options.width, seed=options.seed)
    stopping = _thinned(parts["validation"], options.validation_users)
    progress = Progress(recommender, max_seconds=60 * options.max_minutes)
    best = progress.fit(split.train_sequences, validation=stopping, config=config)
    report = {
        "num_users": dataset.log.num_users,
        "num_items": dataset.catalog.num_items,
        "training_targets": int(np.maximum(split.train_sequences.lengths - 1, 0).sum()),
        "rows_for_stopping": len(stopping),
        "settings": {"width": options.width, **asdict(model), **asdict(config)},
        "max_minutes": options.max_minutes,
        "epochs_run": len(progress.records),
        "best_epoch": best.epoch,
        "fit_seconds": progress.records[-1].seconds,
        "history": [asdict(record) for record in progress.records],
        "parts": {name: measured(recommender, examples) for name, examples in parts.items()},
        "threads": torch.get_num_threads(),
        "niceness": os.nice(0),
        "torch": torch.__version__,
    }
    print(json.dumps(report))


def _held_out(dataset: Dataset, options: argparse.Namespace) -> dict[str, Examples]:
    """Rows to measure on; those of the test only where they are asked for."""
    sequences = dataset.log.sequences
    parts = {"validation": last_rows(without_last(sequences))}
    if options.part == "test":
        parts["test"] = last_rows(sequences)
        for folder in options.more_tests:
            parts[f"test of {folder.name}"] = last_rows(same_catalog(folder, dataset).log.sequences)
    return parts


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument("--more-tests", type=Path, nargs="*", default=[], help="folders with other last items")
    parser.add_argument("--validation-users", type=int, default=2000, help="whose rows choose the best epoch")
    parser.add_argument("--history-length", type=int, default=200)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--l2", type=float, default=0.0)
    parser.add_argument("--loss", choices=("softmax", "bce"), default="softmax")
    parser.add_argument("--num-negatives", type=int, default=1)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--max-minutes", type=float, default=60.0, help="no further epoch begins after them")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.more_tests and options.part != "test":
        parser.error("--more-tests needs --part test")
    return options


def _fit_config(options: argparse.Namespace) -> FitConfig:
    return FitConfig(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        l2=options.l2,
        loss=options.loss,
        num_negatives=options.num_negatives,
        patience=options.patience,
        seed=options.seed,
    )


def without_last(sequences: Sequences) -> Sequences:
    """Every user's items but the last one; users with fewer than three are left out, as the split does."""
    kept = np.flatnonzero(sequences.lengths >= 3)
    rows = sequences.select(kept)
    inside = np.ones(len(rows.items), dtype=bool)
    inside[rows.offsets[1:] - 1] = False
    return Sequences(rows.items[inside], rows.offsets - np.arange(len(rows.offsets)), rows.user_index)


def last_rows(sequences: Sequences) -> Examples:
    """The last item of every user behind the whole history, which the ranking then leaves out."""
    return last_examples(sequences, history_length=int(sequences.lengths.max()), min_history=1)


def _thinned(examples: Examples, limit: int) -> Examples:
    if len(examples) <= limit:
        return examples
    users = np.random.default_rng(_SEED_OF_USERS).choice(len(examples), limit, replace=False)
    return examples.select(np.sort(users))


def same_catalog(folder: Path, dataset: Dataset) -> Dataset:
    """Another dataset folder whose item indices mean the same items.

    Raises:
        SystemExit: If they do not.
    """
    other = load_dataset(folder)
    if other.catalog.sha256 != dataset.catalog.sha256:
        raise SystemExit(f"{folder}: another catalog than that of the training data; import both from the same items")
    return other


def measured(recommender: Recommender, examples: Examples) -> dict[str, object]:
    """HR@10 and NDCG@10 in the whole catalog without each user's earlier items, with 95 % intervals over users."""
    ranks = rank_in_catalog(recommender, examples)
    hits = ranks <= _K
    ratio = wilson_interval(int(hits.sum()), len(hits))
    gain = bootstrap_interval(np.where(hits, 1.0 / np.log2(ranks + 1.0), 0.0))
    return {
        "num_users": len(examples),
        "hit_ratio_at_10": hit_ratio(ranks, _K),
        "hit_ratio_interval": [ratio.low, ratio.high],
        "ndcg_at_10": ndcg(ranks, _K),
        "ndcg_interval": ends(gain),
    }


if __name__ == "__main__":
    main()
