"""How many targets a second of training teaches: prompts with 20 candidates, histories alone, and a token per item.

    python -m benchmarks.targets data/movielens-100k --backbone backbones/smollm2-135m

All train the same backbone with the same adapter, precision and threads, in turn, on the same users' interactions; a
step that is not counted comes first. Prints one JSON object.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from llara.data import Dataset, Examples, Sequences, SplitConfig, load_dataset, split_dataset
from llara.model import BackboneConfig, Llara, LlaraConfig, SequenceConfig
from llara.prompt import PromptConfig
from llara.recommender import SASRec
from llara.train import CurriculumConfig, ObjectiveConfig, StepRecord, TrainConfig, Trainer, WindowConfig

READ_AS: tuple[Literal["titles", "vectors"], ...] = ("titles", "vectors")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset folder")
    parser.add_argument("--backbone", default="nano", help="folder, .gguf file or nano")
    parser.add_argument("--rows", type=int, default=16, help="rows of a step")
    parser.add_argument("--steps", type=int, default=3, help="steps that are counted")
    parser.add_argument("--title-tokens", type=int, default=8)
    options = parser.parse_args(arguments)
    print(json.dumps(measured(options), indent=2))


def measured(options: argparse.Namespace) -> dict[str, object]:
    """Targets per second of each kind of prompts, and their ratios to prompts with candidates."""
    dataset = load_dataset(options.data, seed=0)
    split = split_dataset(dataset, SplitConfig())
    titles, vectors = (_model(dataset, SequenceConfig(head=True, items=items), options) for items in READ_AS)
    speeds = {
        "20 candidates": _speed(titles, split.train, "listwise", options),
        "histories alone": _speed(titles, split.train_sequences, "sequence", options),
        "a token per item": _speed(vectors, split.train_sequences, "sequence", options),
    }
    slowest = speeds["20 candidates"]
    return {
        "backbone": str(options.backbone),
        "threads": torch.get_num_threads(),
        "targets_per_second": speeds,
        "ratios": {name: round(speed / slowest, 1) for name, speed in speeds.items() if name != "20 candidates"},
    }


def _model(dataset: Dataset, sequence: SequenceConfig, options: argparse.Namespace) -> Llara:
    return Llara.from_backbone(
        BackboneConfig(path=options.backbone),
        SASRec(dataset.catalog.num_items, width=64, seed=0),
        dataset.catalog,
        config=LlaraConfig(prompt=PromptConfig(max_title_tokens=options.title_tokens), sequence=sequence),
    )


def _speed(llara: Llara, data: Examples | Sequences, objective: str, options: argparse.Namespace) -> float:
    config = TrainConfig(
        epochs=1e6,
        batch_size=options.rows,
        micro_batch_size=options.rows,
        validations=1,
        objective=ObjectiveConfig(name=objective),
        windows=WindowConfig(length=20),
        curriculum=CurriculumConfig(kind="direct"),
    )
    steps: list[StepRecord] = []

    def enough(record: StepRecord) -> bool:
        steps.append(record)
        return len(steps) > int(options.steps)

    Trainer(llara, data, config=config, validate=lambda _: 0.0, enough=enough).train()
    counted = steps[1:]
    targets = sum(step.examples_per_second * step.seconds for step in counted)
    return round(targets / sum(step.seconds for step in counted), 2)


if __name__ == "__main__":
    main()
