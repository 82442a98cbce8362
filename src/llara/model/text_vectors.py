"""Vectors of the items' texts, read once by the language model before it is trained."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from llara.model.backbone import causal_lm, decoder, input_embeddings
from llara.model.precision import resolve_precision
from llara.prompt import PromptEncoder

_TOKENS_AT_ONCE = 4096


@torch.inference_mode()
def text_vectors(
    model: PreTrainedModel, encoder: PromptEncoder, *, precision: str = "auto", items: Sequence[int] | None = None
) -> Tensor:
    """Mean final state over the tokens of each item's text, row 0 zero, [num_items + 1, D].

    Each text is read alone, as in a prompt, so that a new item's vector needs nothing but its own text. A vector of an
    adapter that begins at zero is that of the pretrained model.

    Args:
        model: Causal LM; put into evaluation mode.
        encoder: Has the texts, cut as in prompts.
        precision: As in `BackboneConfig.precision`.
        items: Indices of the items to read; None: all. Vectors of the others are zero.
    """
    model.eval()
    device = causal_lm(model).device
    dtype = resolve_precision(precision, device)
    chosen_items = list(range(1, encoder.num_items + 1) if items is None else items)
    tokens = [encoder.text_tokens(item) for item in chosen_items]
    vectors: Tensor = torch.zeros(encoder.num_items + 1, input_embeddings(model).embedding_dim)
    by_length = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
    autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
    begin = 0
    while begin < len(by_length):
        rows = max(1, _TOKENS_AT_ONCE // len(tokens[by_length[min(begin + 64, len(by_length) - 1)]]))
        chosen = by_length[begin : begin + rows]
        begin += rows
        width = max(len(tokens[place]) for place in chosen)
        ids = torch.tensor([[*tokens[place], *[encoder.filler] * (width - len(tokens[place]))] for place in chosen])
        is_token = torch.arange(width) < torch.tensor([len(tokens[place]) for place in chosen])[:, None]
        with autocast:
            # Padding comes last, where a causal model's real tokens cannot see it.
            states = decoder(model)(input_ids=ids.to(device), use_cache=False).last_hidden_state.float().cpu()
        summed = (states * is_token[:, :, None]).sum(dim=1)
        vectors[torch.tensor([chosen_items[place] for place in chosen])] = summed / is_token.sum(dim=1, keepdim=True)
    return vectors
