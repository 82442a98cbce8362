"""Beyond the paper: after each item of a history, the next one among the whole catalog, all positions in one pass."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from llara.model import LlaraOutput, ScoredItems, ScorerName
from llara.prompt import PromptBatch
from llara.recommender import losses_among_drawn
from llara.train.objectives.contract import PromptKind


@dataclass(frozen=True)
class SequenceObjective:
    """Softmax over the catalog, as sequential recommenders are trained, or over drawn items with their correction."""

    trains: ClassVar[tuple[ScorerName, ...]] = ("sequence",)
    needs_answers: ClassVar[bool] = False
    prompts: ClassVar[PromptKind] = "histories"

    def losses(self, output: LlaraOutput, batch: PromptBatch, target_column: Tensor) -> Tensor:
        """See `sequence_losses`, [M]."""
        return sequence_losses(output, batch.next_items[batch.next_items != 0])


def sequence_losses(output: LlaraOutput, target: Tensor) -> Tensor:
    """Cross-entropy of each target, in nats, [M].

    Args:
        output: With `sequence`, [M, S].
        target: Item index of each target, [M].
    """
    assert output.sequence is not None
    scores = output.sequence.float()
    if output.items is None:
        return nn.functional.cross_entropy(scores, target, reduction="none")
    return _losses_among_drawn(scores, target, output.items)


def _losses_among_drawn(scores: Tensor, target: Tensor, items: ScoredItems) -> Tensor:
    """Each target against the drawn items; the targets that were not drawn stand behind them."""
    order = items.indices.argsort()
    column = order[torch.searchsorted(items.indices[order], target)]  # [M]
    own = scores.gather(1, column[:, None])  # [M, 1]
    is_target = torch.arange(items.num_drawn, device=scores.device) == column[:, None]
    return losses_among_drawn(own, scores[:, : items.num_drawn], is_target, num_items=items.num_items)
