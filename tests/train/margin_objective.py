"""An objective of somebody else's, whole in one file: the target's score must lead the others' by a margin."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from llara.model import LlaraOutput, ScorerName
from llara.prompt import PromptBatch
from llara.train import PromptKind, register_objective


@dataclass(frozen=True)
class Margin:
    """Hinge loss of the target's listwise score against every other candidate's."""

    margin: float = 1.0

    trains: ClassVar[tuple[ScorerName, ...]] = ("listwise",)
    needs_answers: ClassVar[bool] = False
    prompts: ClassVar[PromptKind] = "candidates"

    def losses(self, output: LlaraOutput, batch: PromptBatch, target_column: Tensor) -> Tensor:
        """Mean over the candidates, [B]."""
        assert output.listwise is not None
        target = output.listwise.gather(1, target_column[:, None])  # [B, 1]
        losses: Tensor = torch.relu(self.margin + output.listwise - target).mean(dim=1)
        return losses


register_objective("margin", lambda config: Margin(**config.settings))
