"""The paper's objective: the target's title, token by token."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from llara.model import LlaraOutput, ScorerName
from llara.prompt import PromptBatch
from llara.train.objectives.contract import PromptKind


@dataclass(frozen=True)
class Answer:
    """Cross-entropy of the answer's tokens."""

    trains: ClassVar[tuple[ScorerName, ...]] = ("answer",)
    needs_answers: ClassVar[bool] = True
    prompts: ClassVar[PromptKind] = "candidates"

    def losses(self, output: LlaraOutput, batch: PromptBatch, target_column: Tensor) -> Tensor:
        """See `answer_losses`, [B]."""
        return answer_losses(output, batch)


def answer_losses(output: LlaraOutput, batch: PromptBatch) -> Tensor:
    """Mean negative log-likelihood of each example's answer tokens, in nats, [B]."""
    assert output.answer_log_probs is not None
    log_probs = output.answer_log_probs.float()
    sums = log_probs.new_zeros(len(batch)).index_add(0, batch.answer_rows, log_probs)
    counts = log_probs.new_zeros(len(batch)).index_add(0, batch.answer_rows, torch.ones_like(log_probs))
    return -sums / counts
