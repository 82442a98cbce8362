"""Both objectives at once: one pass over the prompt teaches the answer's tokens and the listwise head."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from llara.model import LlaraOutput, ScorerName
from llara.prompt import PromptBatch
from llara.train.objectives.answer import answer_losses
from llara.train.objectives.contract import PromptKind
from llara.train.objectives.listwise import listwise_losses


@dataclass(frozen=True, kw_only=True)
class WeightedSum:
    """Weighted sum of answer and listwise loss, both in nats per example."""

    answer_weight: float
    listwise_weight: float

    trains: ClassVar[tuple[ScorerName, ...]] = ("listwise", "answer")
    needs_answers: ClassVar[bool] = True
    prompts: ClassVar[PromptKind] = "candidates"

    def losses(self, output: LlaraOutput, batch: PromptBatch, target_column: Tensor) -> Tensor:
        """The weighted sum, [B]."""
        return self.answer_weight * answer_losses(output, batch) + self.listwise_weight * listwise_losses(
            output, target_column
        )
