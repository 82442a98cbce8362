"""How large a backbone is and how fast this machine multiplies, known before anything is loaded."""

import time
from pathlib import Path

import torch

from llara.model import BackboneConfig
from llara.model.backbone import NANO
from llara.model.gguf import loadable

_SIDE = 1024
_UNKNOWN_WEIGHTS = 500_000_000


def count_weights(config: BackboneConfig) -> int:
    """About how many weights a backbone has: from its shape, or from the size of its files at two bytes each."""
    if config.path == NANO:
        nano = config.nano
        return nano.num_layers * 12 * nano.hidden_size**2 + nano.vocabulary * nano.hidden_size
    found = sum(file.stat().st_size for file in Path(loadable(config.path)).glob("*.safetensors")) // 2
    return found or _UNKNOWN_WEIGHTS  # a hub name


def product_speed() -> float:
    """Floating-point operations per second of a matrix product in float32."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.ones(_SIDE, _SIDE, device=device)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        best = min(best, time.perf_counter() - started)
    return 2 * _SIDE**3 / best
