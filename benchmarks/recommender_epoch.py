"""Fit a SASRec for a few epochs; one JSON object with seconds per epoch and the machine's matrix speed on stdout.

python -m benchmarks.recommender_epoch FOLDER --epochs 5
"""

import argparse
import json
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from llara.data import last_examples, load_dataset
from llara.recommender import EpochRecord, FitConfig, SASRec, SASRecConfig, fit_recommender

_PEAK_SIZE = 1024


def main() -> None:
    """Run the stage on the folder named on the command line."""
    options = _parser().parse_args()
    dataset = load_dataset(options.folder)
    sequences = dataset.log.sequences
    num_items = dataset.catalog.num_items
    recommender = SASRec(
        num_items, SASRecConfig(max_length=options.history_length, layers=options.layers), width=options.width
    )
    # One row: the loop measures after every epoch, and this should not count as training.
    validation = last_examples(sequences, history_length=options.history_length, min_history=1).select(np.arange(1))
    config = FitConfig(epochs=options.epochs, patience=options.epochs, batch_size=options.batch_size)
    records: list[EpochRecord] = []
    fit_recommender(recommender, sequences, validation=validation, config=config, on_epoch=records.append)
    ends = [0.0, *(record.seconds for record in records)]
    targets = int(np.maximum(sequences.lengths - 1, 0).sum())
    report = {
        "epoch_seconds": [after - before for before, after in pairwise(ends)],
        "losses": [record.loss for record in records],
        "num_interactions": len(sequences.items),
        "targets": targets,
        "flop_per_epoch": targets * flop_per_target(options.layers, options.width, num_items),
        "peak_flop_per_second": peak_flop_per_second(),
        "threads": torch.get_num_threads(),
        "niceness": os.nice(0),
        "torch": torch.__version__,
    }
    print(json.dumps(report))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=FitConfig.batch_size)
    parser.add_argument("--history-length", type=int, default=50)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    return parser


def flop_per_target(layers: int, width: int, num_items: int) -> int:
    """Operations of one target's matrix products with weights, forward and (twice as many) backward.

    Not counted: attention among items, which at 50 items adds a few percent, and products with padding.
    """
    block = 2 * (4 + 8) * width**2
    scoring = 2 * width * num_items
    return 3 * (layers * block + scoring)


def peak_flop_per_second(repeats: int = 12) -> float:
    """Speed of the best of several products of square matrices in single precision."""
    left, right = torch.rand(_PEAK_SIZE, _PEAK_SIZE), torch.rand(_PEAK_SIZE, _PEAK_SIZE)
    fastest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(left, right)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * _PEAK_SIZE**3 / fastest


if __name__ == "__main__":
    main()
