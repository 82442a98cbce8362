"""Passes of backbones that rewrite themselves take turns."""

import threading
from contextlib import AbstractContextManager, nullcontext

from transformers import PretrainedConfig

_ONE_AT_A_TIME = threading.RLock()
_REWRITING = ("dynamic", "longrope")
"""Kinds of position encoding whose frequencies transformers changes in place in every pass, by the longest prompt."""


def turn(config: PretrainedConfig) -> AbstractContextManager[object]:
    """Within the block, no other thread's pass may change what this one reads; free for all other backbones.

    Args:
        config: The backbone's; the kinds of its `rope_parameters` count, of one kind of layer or of several.
    """
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = {str(parameters.get("rope_type"))} | {
        str(of_layer.get("rope_type")) for of_layer in parameters.values() if isinstance(of_layer, dict)
    }
    rewrites = any(name in kind for kind in kinds for name in _REWRITING)
    return _ONE_AT_A_TIME if rewrites else nullcontext()
