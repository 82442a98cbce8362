"""Which rows begin alike, so that their beginning is read once."""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from llara.model.backbone import causal_lm, decoder
from llara.model.network import Network
from llara.model.prefix import Prefix, shares_prefixes
from llara.model.turns import turn
from llara.prompt import EncodedPrompt, PlacedSlot, collate

_FEWEST_ROWS = 8
_WORTH_SHARING = 0.1
"""Share of the tokens that need not be read again, from which on it pays (docs/experiments.md)."""


@torch.inference_mode()
def read_prefix(network: Network, prompt: EncodedPrompt, *, length: int, hybrid: bool) -> Prefix:
    """Read the first `length` tokens of a prompt, at most those before its candidates."""
    batch = collate([prompt.before(length)], hybrid=[hybrid], filler=network.encoder.filler).to(network.device)
    cache = DynamicCache()
    last = torch.tensor([length - 1], device=network.device)  # no final state is needed, but one must be computed
    with network.last_feed_forward.only(last, shape=(1, length)), turn(causal_lm(network.model).config):
        decoder(network.model)(inputs_embeds=network.embed(batch), past_key_values=cache, use_cache=True)
    return Prefix(cache, length=length)


def rows_by_prefix(network: Network, prompts: Sequence[EncodedPrompt]) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """Groups of rows that begin alike, where reading the beginning once pays, and all other rows.

    Backbones whose layers look back only so far, or keep a state in place of keys and values, share nothing.

    Returns:
        For each group the length of its prefix and its row numbers; the numbers of the rows without a group.
    """
    if not shares_prefixes(network.model) or not network.verdict.confirms("prefix"):
        return [], list(range(len(prompts)))
    found: dict[tuple[tuple[int, ...], tuple[int, ...], tuple[PlacedSlot, ...], tuple[int, ...]], list[int]] = {}
    for row, prompt in enumerate(prompts):
        start = prompt.before(prompt.first_of_candidates)
        others = tuple(start.other_slots)  # their vectors may depend on the whole history
        history = tuple(start.history_items) if others else ()
        found.setdefault((tuple(start.token_ids), tuple(start.slot_items), others, history), []).append(row)
    groups, alone = [], []
    for (tokens, *_), rows in found.items():
        whole = sum(len(prompts[row].token_ids) for row in rows)
        saved = len(tokens) * (len(rows) - 1)
        if len(rows) >= _FEWEST_ROWS and saved >= _WORTH_SHARING * whole:
            groups.append((len(tokens), rows))
        else:
            alone += rows
    return groups, sorted(alone)
