"""The attention of an answer tree: every node reads the prompt and the nodes above it, never another branch."""

import torch
from torch import Tensor
from transformers import PretrainedConfig

from llara.errors import CheckpointError
from llara.model.kernels.attention import ATTENTION
from llara.prompt import PromptBatch

FULL, SLIDING = "full_attention", "sliding_attention"


def layer_kinds(config: PretrainedConfig) -> set[str]:
    """How the layers of a backbone attend: `FULL`, `SLIDING` or another kind."""
    window = getattr(config, "sliding_window", None)
    return set(getattr(config, "layer_types", None) or [SLIDING if window is not None else FULL])


def tree_attention(
    batch: PromptBatch, *, config: PretrainedConfig, dtype: torch.dtype, prefix_length: int = 0
) -> Tensor | dict[str, Tensor]:
    """What a backbone takes as `attention_mask` for a tree batch, sliding windows included.

    A mask of four dimensions replaces every mask that the backbone would build itself, so a backbone whose layers look
    back only so far gets masks that do the same; else its tree scores would not be those of a plain pass.

    Args:
        batch: A tree, or prompts alone behind a prefix.
        config: The backbone's; its `layer_types`, `sliding_window` and kind of attention count.
        dtype: Of the embeddings.
        prefix_length: Tokens P that all rows share and that were read before; for layers that look back all the way.

    Returns:
        An additive mask, or one per kind of layer where the kinds differ: [B, 1, T, P + T], or, where our own attention
        reads it and no layer looks back only so far, [B, 1, answers, P + T], since prompts need none.

    Raises:
        CheckpointError: If a layer is of a kind that cannot read a tree, such as a recurrent one.
    """
    window = getattr(config, "sliding_window", None)
    kinds = layer_kinds(config)
    unknown = sorted(kinds - {FULL, SLIDING})
    if unknown:
        raise CheckpointError(
            f"backbone {config.model_type} has layers of kind {unknown[0]}, which cannot read all answers in one pass. "
            "Score with `listwise`, or choose another backbone."
        )
    T = batch.token_ids.shape[1]
    start = max(0, T - 2) if batch.tree_start is None else batch.tree_start
    # One row of a mask would be taken for all rows.
    can_split = T - start > 1 and kinds == {FULL} and config._attn_implementation == ATTENTION
    masks = {
        kind: tree_mask(batch, window=window if kind == SLIDING else None, start=start if can_split else 0, dtype=dtype)
        for kind in sorted(kinds)
    }
    if prefix_length > 0:
        masks = {kind: torch.nn.functional.pad(mask, (prefix_length, 0)) for kind, mask in masks.items()}
    takes_kinds = SLIDING in kinds and getattr(config, "layer_types", None) is not None
    return masks if takes_kinds else next(iter(masks.values()))


def tree_mask(batch: PromptBatch, *, window: int | None, start: int = 0, dtype: torch.dtype) -> Tensor:
    """Additive mask of the columns from `start` on, [B, 1, T - start, T]: a token sees what it stands below.

    That is the prompt and the nodes above it, at most `window` positions back. Padding sees itself, so that no row of
    the mask is empty.
    """
    columns = torch.arange(batch.reach.shape[1], device=batch.reach.device)
    query = columns[start:, None]  # [T - start, 1]
    visible = (columns <= query) & (query < batch.reach[:, None, :])  # [B, T - start, T]
    if window is not None:
        back = batch.position_ids[:, start:, None] - batch.position_ids[:, None, :]
        visible &= back < window
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]
