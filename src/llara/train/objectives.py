"""Objectives: what a training example's loss is. Add one here and in `OBJECTIVES`."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from llara.errors import ConfigError
from llara.model import LlaraOutput
from llara.prompt import PromptBatch

ObjectiveName = Literal["answer", "listwise", "sum"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Which loss is minimized."""

    name: ObjectiveName = "answer"
    """answer: cross-entropy of the answer's tokens (the paper); listwise: softmax over the candidates' scores from the
    listwise head; sum: weighted sum of both."""
    answer_weight: float = 1.0
    """sum only: weight of the answer loss, > 0."""
    listwise_weight: float = 1.0
    """sum only: weight of the listwise loss, > 0."""

    def __post_init__(self) -> None:
        known = get_args(ObjectiveName)
        if self.name not in known:
            raise ConfigError(f"train.objective.name must be one of {', '.join(known)}, got '{self.name}'")
        for name, weight in (("answer_weight", self.answer_weight), ("listwise_weight", self.listwise_weight)):
            if weight <= 0:
                raise ConfigError(
                    f"train.objective.{name} must be > 0, got {weight}; drop a loss by train.objective.name"
                )

    @property
    def uses_answer(self) -> bool:
        """Whether answers must be in the batch."""
        return self.name in ("answer", "sum")

    @property
    def uses_listwise(self) -> bool:
        """Whether the listwise head is trained."""
        return self.name in ("listwise", "sum")


def answer_losses(output: LlaraOutput, batch: PromptBatch) -> Tensor:
    """Mean negative log-likelihood of each example's answer tokens, in nats, [B]."""
    assert output.answer_log_probs is not None
    log_probs = output.answer_log_probs.float()
    sums = log_probs.new_zeros(len(batch)).index_add(0, batch.answer_rows, log_probs)
    counts = log_probs.new_zeros(len(batch)).index_add(0, batch.answer_rows, torch.ones_like(log_probs))
    return -sums / counts


def listwise_losses(output: LlaraOutput, target_column: Tensor) -> Tensor:
    """Softmax cross-entropy of the target among its candidates, in nats, [B]."""
    assert output.listwise is not None
    return nn.functional.cross_entropy(output.listwise.float(), target_column, reduction="none")


def example_losses(
    output: LlaraOutput, batch: PromptBatch, target_column: Tensor, *, config: ObjectiveConfig
) -> Tensor:
    """The objective of each example, [B]; a step minimizes the mean over its examples."""
    if config.name == "answer":
        return answer_losses(output, batch)
    if config.name == "listwise":
        return listwise_losses(output, target_column)
    return config.answer_weight * answer_losses(output, batch) + config.listwise_weight * listwise_losses(
        output, target_column
    )
