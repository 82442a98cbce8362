"""A softmax over a catalog, estimated from items that are drawn uniformly."""

import torch
from torch import Tensor


def losses_among_drawn(own: Tensor, drawn: Tensor, is_target: Tensor, *, num_items: int) -> Tensor:
    """Cross-entropy of each target against drawn items, which stand for all others of the catalog, in nats, [N].

    The sum over the catalog that a softmax divides by is estimated without bias: the target's part is known, and each
    drawn item stands for (num_items - 1) / drawn others, the target left out.

    Args:
        own: Score of each target, [N, 1].
        drawn: Scores of the drawn items, which were drawn without repetition, [N, S].
        is_target: Where a drawn item is the row's target, bool [N, S].
        num_items: Size of the catalog.
    """
    others = (~is_target).sum(dim=1, keepdim=True)
    stands_for = torch.log((num_items - 1) / others)
    rest = (drawn + stands_for).masked_fill(is_target, float("-inf"))
    return (torch.cat([own, rest], dim=1).logsumexp(dim=1, keepdim=True) - own).squeeze(1)
