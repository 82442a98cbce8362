"""Beyond the paper: the target among the candidates shown, by the listwise head."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from llara.model import LlaraOutput, ScorerName
from llara.prompt import PromptBatch
from llara.train.objectives.contract import PromptKind


@dataclass(frozen=True)
class Listwise:
    """Softmax over the candidates' scores."""

    trains: ClassVar[tuple[ScorerName, ...]] = ("listwise",)
    needs_answers: ClassVar[bool] = False
    prompts: ClassVar[PromptKind] = "candidates"

    def losses(self, output: LlaraOutput, batch: PromptBatch, target_column: Tensor) -> Tensor:
        """See `listwise_losses`, [B]."""
        return listwise_losses(output, target_column)


def listwise_losses(output: LlaraOutput, target_column: Tensor) -> Tensor:
    """Softmax cross-entropy of the target among its candidates, in nats, [B]."""
    assert output.listwise is not None
    return nn.functional.cross_entropy(output.listwise.float(), target_column, reduction="none")
