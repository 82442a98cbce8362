"""One of the processes that train saved tiny models together, for test_two_ranks.py.

python one_rank.py MODELS_FOLDER OUTPUT_FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from safetensors.torch import save_file
from torch import Tensor

from llara.data import Examples, Sequences
from llara.errors import DivergenceError
from llara.model import Llara
from llara.train import ObjectiveConfig, StagePlace, StepRecord, TrainConfig, Trainer
from llara.train.state import trained_weights

TUNINGS = ("lora", "full")
OBJECTIVES = ("answer", "listwise", "sum", "sequence", "sequence then listwise")
"""The last one in two stages."""
ROWS, NUM_ITEMS = 11, 24


def tiny_examples() -> Examples:
    """Rows with a history of three items."""
    rng = np.random.default_rng(2)
    drawn = np.stack([rng.permutation(NUM_ITEMS)[:4] + 1 for _ in range(ROWS)])
    return Examples(drawn[:, 1:], np.full(ROWS, 3), drawn[:, 0], np.arange(ROWS))


def tiny_sequences() -> Sequences:
    """As many windows, whose targets differ in number."""
    rng = np.random.default_rng(3)
    return Sequences.from_lists([(rng.permutation(NUM_ITEMS)[: 2 + row % 4] + 1).tolist() for row in range(ROWS)])


class BrokenPrior:
    """No number, or nothing at all."""

    def __init__(self, *, broken: bool) -> None:
        self.value = float("nan") if broken else 0.0

    def log_probs(self, _: Examples, candidates: np.ndarray) -> Tensor:
        """The same of all candidates."""
        return torch.full(candidates.shape, self.value)

    def score_each(self, users: np.ndarray, history: Tensor, items: Tensor | None = None) -> Tensor:
        """Nobody asks."""
        raise AssertionError


def settings(objective: str) -> TrainConfig:
    """Steps of 5, 5 and 1 rows: of two processes one has 3, 3 and 1, the other 2, 2 and none."""
    return TrainConfig(
        epochs=2,
        batch_size=5,
        micro_batch_size=2,
        num_negatives=4,
        validations=2,
        objective=ObjectiveConfig(name=objective),
    )


def train(model: Path, output: Path, objective: str) -> None:
    """Train, then leave losses and last weights."""
    llara, records = Llara.from_pretrained(model, device="cpu"), list[StepRecord]()
    if PartialState().process_index > 0:
        llara.placeholder.data.zero_()  # the main process's weights are the ones to train
    stages = objective.split(" then ")
    for number, name in enumerate(stages, start=1):
        Trainer(
            llara,
            tiny_sequences() if name == "sequence" else tiny_examples(),
            config=settings(name),
            validate=lambda _: float(len(records)),
            on_step=records.append,
            stage=StagePlace(number, len(stages), len(records)),
        ).train()
    name = f"{model.name}-{objective}"
    save_file(trained_weights(llara), output / f"{name}.safetensors")
    (output / f"{name}.json").write_text(json.dumps([record.loss for record in records]))


def diverge(model: Path, output: Path) -> None:
    """Train where the last process alone has a prior that is no number; leave what the error says."""
    state = PartialState()
    broken = state.process_index == state.num_processes - 1

    llara = Llara.from_pretrained(model, device="cpu")
    prior = BrokenPrior(broken=broken)
    trainer = Trainer(llara, tiny_examples(), config=settings("listwise"), validate=lambda _: 0.5, prior=prior)
    try:
        trainer.train()
    except DivergenceError as error:
        (output / "diverged.json").write_text(json.dumps([error.what, error.where]))


def main(models: Path, output: Path) -> None:
    """Everything that the tests look at, in one process: most of their time is its start."""
    torch.set_num_threads(1)
    output.mkdir()
    for tuning in TUNINGS:
        for objective in OBJECTIVES:
            train(models / tuning, output, objective)
    diverge(models / "lora", output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
