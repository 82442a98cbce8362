"""Beyond the paper: after each item of a history, the next one among the whole catalog, all positions in one pass."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from llara.model import LlaraOutput, ScoredItems, ScorerName
from llara.prompt import PromptBatch
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
    """Each target against the drawn items, which stand for all others of the catalog.

    The sum over the catalog that a softmax divides by is estimated without bias: the target's part is known, and each
    drawn item stands for (num_items - 1) / drawn others, the target left out.
    """
    order = items.indices.argsort()
    column = order[torch.searchsorted(items.indices[order], target)]  # [M]
    own = scores.gather(1, column[:, None])  # [M, 1]
    drawn = scores[:, : items.num_drawn]
    is_target = torch.arange(items.num_drawn, device=scores.device) == column[:, None]
    others = (~is_target).sum(dim=1, keepdim=True)
    stands_for = torch.log((items.num_items - 1) / others)
    rest = (drawn + stands_for).masked_fill(is_target, float("-inf"))
    return (torch.cat([own, rest], dim=1).logsumexp(dim=1, keepdim=True) - own).squeeze(1)
