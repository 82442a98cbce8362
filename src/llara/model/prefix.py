"""What rows with one history have in common is read once: the prompt up to its candidates."""

import copy

from torch import nn
from transformers import DynamicCache

from llara.model.backbone import causal_lm
from llara.model.tree import FULL, layer_kinds


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


def shares_prefixes(model: nn.Module) -> bool:
    """Whether a backbone's layers look back all the way, and keep keys and values rather than a state."""
    lm = causal_lm(model)
    return layer_kinds(lm.config.get_text_config(decoder=True)) == {FULL} and not lm._is_stateful
