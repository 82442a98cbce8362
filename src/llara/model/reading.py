"""How a backbone reads a batch: one function for training, scoring, serving and the self-test."""

from torch import Tensor, nn

from llara.model.backbone import causal_lm, decoder
from llara.model.prefix import Prefix
from llara.model.tree import tree_attention
from llara.prompt import PromptBatch


def final_states(model: nn.Module, embedded: Tensor, batch: PromptBatch, *, prefix: Prefix | None = None) -> Tensor:
    """Final hidden states of a batch, [B, T, D]; values at padding are meaningless.

    Args:
        model: Causal LM, with or without adapter.
        embedded: What stands at each place, [B, T, D].
        batch: Where prompts, answers and padding are.
        prefix: What stands before every row and was read already.
    """
    before = prefix.length if prefix is not None else 0
    if batch.tree_start is not None or prefix is not None:
        config = causal_lm(model).config.get_text_config(decoder=True)
        mask: Tensor | dict[str, Tensor] | None = tree_attention(
            batch, config=config, dtype=embedded.dtype, prefix_length=before
        )
    elif batch.pads_left:
        mask = batch.is_token.long()
    else:
        # Padding comes last, where a causal model's real tokens cannot see it: the fast causal kernel does.
        mask = None
    states: Tensor = decoder(model)(
        inputs_embeds=embedded,
        attention_mask=mask,
        position_ids=batch.position_ids + before if mask is not None else None,
        past_key_values=prefix.for_rows(len(batch)) if prefix is not None else None,
        use_cache=prefix is not None,
    ).last_hidden_state
    return states
