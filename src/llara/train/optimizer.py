"""Optimizer and learning-rate schedule."""

import math
from dataclasses import dataclass

import torch

from llara.data.limits import NonNegativeNumber, PositiveNumber, Ratio, RatioBelowOne, check_limits
from llara.model import Llara


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with linear warm-up and cosine decay; the defaults are the paper's for MovieLens."""

    learning_rate: PositiveNumber = 8e-4
    """Peak (the released code: MovieLens 8e-4, Steam 5e-4, LastFM 7e-4)."""
    floor_ratio: Ratio = 0.01
    """Warm-up starts and decay ends at this share of the peak, in [0, 1]."""
    warmup_fraction: RatioBelowOne = 0.05
    """Share of steps that warm up, in [0, 1)."""
    weight_decay: NonNegativeNumber = 0.0
    """On adapter, backbone and head."""
    projector_weight_decay: NonNegativeNumber = 1e-5
    """On the projector, the placeholder and the part vectors."""
    max_gradient_norm: PositiveNumber = 1.0
    """Gradients are clipped to this norm."""

    def __post_init__(self) -> None:
        check_limits(self, "train.optimizer")


def learning_rate(step: int, *, total_steps: int, config: OptimizerConfig) -> float:
    """Rate of the (0-based) optimizer step: floor to peak over the warm-up, then a cosine back to the floor.

    Source:
        LLaRA (arXiv:2312.02445), section 4.1.3: warm-up from lr/100 over 5 % of the steps, cosine decay to lr/100.
    """
    floor = config.floor_ratio * config.learning_rate
    warmup = config.warmup_fraction * total_steps
    if step < warmup:
        return floor + (config.learning_rate - floor) * step / warmup
    progress = (step - warmup) / max(1.0, total_steps - 1 - warmup)
    return floor + (config.learning_rate - floor) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def build_optimizer(llara: Llara, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over everything that training changes, with the projector's weight decay apart."""
    apart = ("projector.", "text_projector.", "placeholder", "part_vectors")
    behavioral = {name: p for name, p in llara.trainable().items() if name.startswith(apart)}
    others = {name: p for name, p in llara.trainable().items() if name not in behavioral}
    matrices = [p for p in others.values() if p.ndim > 1]
    vectors = [p for p in others.values() if p.ndim <= 1]
    groups = [
        {"params": list(behavioral.values()), "weight_decay": config.projector_weight_decay},
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.learning_rate, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
