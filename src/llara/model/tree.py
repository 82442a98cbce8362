"""The attention of an answer tree: every branch reads the prompt and itself, never another branch."""

import torch
from torch import Tensor
from transformers import PretrainedConfig

from llara.errors import CheckpointError

FULL, SLIDING = "full_attention", "sliding_attention"


def tree_attention(
    branch: Tensor, position_ids: Tensor, *, config: PretrainedConfig, dtype: torch.dtype
) -> Tensor | dict[str, Tensor]:
    """What a backbone takes as `attention_mask` for a tree batch, sliding windows included.

    A mask of four dimensions replaces every mask that the backbone would build itself, so a backbone whose layers look
    back only so far gets masks that do the same; else its tree scores would not be those of a plain pass.

    Args:
        branch: 0 prompt, c + 1 branch of candidate c, -1 padding, [B, T].
        position_ids: Position of each token, [B, T].
        config: The backbone's; its `layer_types` and `sliding_window` count.
        dtype: Of the embeddings.

    Returns:
        An additive mask [B, 1, T, T], or one per kind of layer where the kinds differ.

    Raises:
        CheckpointError: If a layer is of a kind that cannot read a tree, such as a recurrent one.
    """
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or [SLIDING if window is not None else FULL])
    unknown = sorted(kinds - {FULL, SLIDING})
    if unknown:
        raise CheckpointError(
            f"backbone {config.model_type} has layers of kind {unknown[0]}, which cannot read all answers in one pass. "
            "Score with `listwise`, or choose another backbone."
        )
    masks = {
        kind: tree_mask(branch, position_ids, window=window if kind == SLIDING else None, dtype=dtype)
        for kind in sorted(kinds)
    }
    takes_kinds = SLIDING in kinds and getattr(config, "layer_types", None) is not None
    return masks if takes_kinds else next(iter(masks.values()))


def tree_mask(branch: Tensor, position_ids: Tensor, *, window: int | None, dtype: torch.dtype) -> Tensor:
    """Additive mask, [B, 1, T, T]: a token sees the prompt and its own branch up to itself, at most `window` back.

    Padding sees itself only, so that no row of the mask is empty.
    """
    size = branch.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=branch.device).tril()
    key, query = branch[:, None, :], branch[:, :, None]
    visible = causal & ((key == 0) | (key == query)) & (query >= 0)
    if window is not None:
        visible &= position_ids[:, :, None] - position_ids[:, None, :] < window
    visible = visible | torch.eye(size, dtype=torch.bool, device=branch.device)
    mask = torch.zeros(visible.shape, dtype=dtype, device=branch.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]
