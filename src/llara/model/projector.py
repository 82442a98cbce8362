"""The projector: from a recommender's item embedding to a behavioral token of the backbone's width."""

import torch
from torch import Tensor, nn


class Projector(nn.Module):
    """Linear, GELU, Linear on standardized item embeddings.

    Args:
        item_embeddings: The frozen recommender's table, row 0 padding, [num_items + 1, R].
        width: Width D of the backbone.
        target_norm: Mean norm that the behavioral tokens have at the start: that of the backbone's embeddings.
        seed: Seed of the initial weights.

    Source:
        LLaRA (arXiv:2312.02445), released code. Deviations: inputs are standardized by the table's mean and deviation
        (recommenders differ by orders of magnitude in scale, and a constant part would drown what tells items apart),
        and the output is scaled to the backbone's embedding norm at the start, so that neither drowns the other.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, item_embeddings: Tensor, width: int, *, target_norm: float, seed: int) -> None:
        super().__init__()
        self.target_norm = target_norm
        items = item_embeddings[1:].float()
        self.register_buffer("mean", items.mean(0))
        self.register_buffer("deviation", items.std(0, unbiased=False).clamp_min(1e-6))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Linear(items.shape[1], width)
            self.second = nn.Linear(width, width)
        with torch.no_grad():
            norm = self.forward(items).norm(dim=-1).mean().clamp_min(1e-12)
            self.second.weight.mul_(target_norm / norm)
            self.second.bias.mul_(target_norm / norm)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Item embeddings [..., R] -> behavioral tokens [..., D]."""
        standardized = (embeddings - self.mean) / self.deviation
        projected: Tensor = self.second(nn.functional.gelu(self.first(standardized)))
        return projected


def inject(embeddings: Tensor, rows: Tensor, positions: Tensor, vectors: Tensor) -> Tensor:
    """Replace the embeddings at slots: one scatter for the whole batch, differentiable in both inputs.

    Args:
        embeddings: Token embeddings, [B, T, D].
        rows: Row of each slot, [S].
        positions: Token position of each slot, [S].
        vectors: What to put there, [S, D].

    Returns:
        A new tensor [B, T, D], equal to `embeddings` except at the slots.
    """
    return embeddings.index_put((rows, positions), vectors.to(embeddings.dtype))
