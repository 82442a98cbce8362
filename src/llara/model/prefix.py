"""What rows with one history have in common is read once: the prompt up to its candidates."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import DynamicCache

from llara.model.backbone import causal_lm, decoder
from llara.model.tree import FULL, layer_kinds
from llara.model.turns import turn
from llara.prompt import EncodedPrompt, collate

if TYPE_CHECKING:
    from llara.model.llara import Llara

_FEWEST_ROWS = 8
_WORTH_SHARING = 0.1
"""Share of the tokens that need not be read again, from which on it pays (docs/experiments.md)."""


class Prefix:
    """The first tokens of several rows, read: keys and values of every layer.

    Attributes:
        length: Tokens P.
    """

    def __init__(self, cache: DynamicCache, *, length: int) -> None:
        self._cache = cache
        self.length = length

    def for_rows(self, count: int) -> DynamicCache:
        """Keys and values for a batch of so many rows, which may write to them."""
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(count)
        return cache


@torch.inference_mode()
def read_prefix(llara: "Llara", prompt: EncodedPrompt, *, length: int, hybrid: bool) -> Prefix:
    """Read the first `length` tokens of a prompt, at most those before its candidates."""
    batch = collate([prompt.before(length)], hybrid=[hybrid], filler=llara.encoder.filler).to(llara.device)
    cache = DynamicCache()
    last = torch.tensor([length - 1], device=llara.device)  # no final state is needed, but one must be computed
    with llara.last_feed_forward.only(last, shape=(1, length)), turn(causal_lm(llara.model).config):
        decoder(llara.model)(inputs_embeds=llara.embed(batch), past_key_values=cache, use_cache=True)
    return Prefix(cache, length=length)


def shares_prefixes(model: nn.Module) -> bool:
    """Whether a backbone's layers look back all the way, and keep keys and values rather than a state."""
    lm = causal_lm(model)
    return layer_kinds(lm.config.get_text_config(decoder=True)) == {FULL} and not lm._is_stateful


def rows_by_prefix(llara: "Llara", prompts: Sequence[EncodedPrompt]) -> tuple[list[tuple[int, list[int]]], list[int]]:
    """Groups of rows that begin alike, where reading the beginning once pays, and all other rows.

    Backbones whose layers look back only so far, or keep a state in place of keys and values, share nothing.

    Returns:
        For each group the length of its prefix and its row numbers; the numbers of the rows without a group.
    """
    if not shares_prefixes(llara.model) or not llara.verdict.confirms("prefix"):
        return [], list(range(len(prompts)))
    found: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
        start = prompt.before(prompt.first_of_candidates)
        found.setdefault((tuple(start.token_ids), tuple(start.slot_items)), []).append(row)
    groups, others = [], []
    for (tokens, _), rows in found.items():
        whole = sum(len(prompts[row].token_ids) for row in rows)
        saved = len(tokens) * (len(rows) - 1)
        if len(rows) >= _FEWEST_ROWS and saved >= _WORTH_SHARING * whole:
            groups.append((len(tokens), rows))
        else:
            others += rows
    return groups, sorted(others)
