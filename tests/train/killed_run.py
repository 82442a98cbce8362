"""Trains a saved tiny model in a process of its own, for test_resume.py to kill.

python killed_run.py MODEL_FOLDER RUN_FOLDER [--stand-still-after STEP]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from llara.data import Examples
from llara.model import Llara, score_candidates
from llara.train import ObjectiveConfig, StepRecord, TrainConfig, Trainer

CONFIG = TrainConfig(
    epochs=2,
    batch_size=4,
    micro_batch_size=2,
    num_negatives=4,
    validations=4,
    objective=ObjectiveConfig(name="sum"),
)
ROWS, NUM_ITEMS = 24, 24


def tiny_examples() -> Examples:
    """Rows with a history of three items."""
    rng = np.random.default_rng(2)
    drawn = np.stack([rng.permutation(NUM_ITEMS)[:4] + 1 for _ in range(ROWS)])
    return Examples(drawn[:, 1:], np.full(ROWS, 3), drawn[:, 0], np.arange(ROWS))


def validate(llara: Llara) -> float:
    """Share of rows whose target is among the two best of four."""
    examples = tiny_examples()
    items = [[target, *({1, 2, 3, 4} - {target})][:4] for target in examples.target.tolist()]
    scores = score_candidates(llara, examples.histories(), items, scorer="listwise")
    return float(((scores > scores[:, :1]).sum(axis=1) < 2).mean())


def train(model: Path, run: Path, *, resume: bool = False, stand_still_after: int | None = None) -> Llara:
    """Train to the end, or until killed where `stand_still_after` names a step."""
    torch.set_num_threads(1)
    llara = Llara.from_pretrained(model)

    def on_step(record: StepRecord) -> None:
        print(record.step, flush=True)
        if record.step == stand_still_after:
            time.sleep(120)

    trainer = Trainer(
        llara, tiny_examples(), config=CONFIG, validate=validate, folder=run, on_step=on_step, fingerprint="tiny"
    )
    trainer.train(resume=resume)
    return llara


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--stand-still-after", type=int)
    arguments = parser.parse_args()
    train(arguments.model, arguments.run, stand_still_after=arguments.stand_still_after)
