"""The curriculum: optimizer step -> probability that an example's prompt is hybrid, and the seeded draw itself."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llara.data import IntArray
from llara.data.limits import PositiveRatio, Ratio, RatioBelowOne, check_limits

CurriculumKind = Literal["paper", "released-code", "direct", "two-stage", "text-only"]
RampShape = Literal["linear", "cosine", "square-root"]
BoolArray = NDArray[np.bool_]
_STREAM = 0xC0FFEE


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig:
    """How training moves from text-only to hybrid prompts."""

    kind: CurriculumKind = "paper"
    """paper: p = t / T; released-code: what the first release really did (p restarts each epoch, one draw per batch);
    direct: always hybrid; two-stage: text-only, then hybrid; text-only: never hybrid."""
    warmup_fraction: RatioBelowOne = 0.0
    """paper only: share of optimizer steps, in [0, 1), that stay text-only before the ramp."""
    ramp_fraction: PositiveRatio = 1.0
    """paper only: share of the steps after the warm-up, in (0, 1], that the ramp takes; after it p = 1."""
    shape: RampShape = "linear"
    """paper only: how p rises along the ramp."""
    first_stage_fraction: Ratio = 0.4
    """two-stage only: share of steps that are text-only (the paper: 2 of 5 epochs)."""

    def __post_init__(self) -> None:
        check_limits(self, "train.curriculum")


def hybrid_probability(step: int, *, total_steps: int, steps_per_epoch: int, config: CurriculumConfig) -> float:
    """Probability, in [0, 1], that an example at `step` (0-based) is hybrid: a pure function of the step.

    Source:
        LLaRA (arXiv:2312.02445), p(t) = t / T. `released-code` repeats the first release: data-loader workers start
        their count again each epoch while T spans all epochs, so p never passes 1 / epochs.
    """
    if config.kind == "direct":
        return 1.0
    if config.kind == "text-only":
        return 0.0
    if config.kind == "two-stage":
        return 0.0 if step < config.first_stage_fraction * total_steps else 1.0
    if config.kind == "released-code":
        return (step % steps_per_epoch) / total_steps
    start = config.warmup_fraction * total_steps
    length = max(1.0, config.ramp_fraction * (total_steps - start))
    progress = min(1.0, max(0.0, (step - start) / length))
    if config.shape == "cosine":
        return 0.5 - 0.5 * math.cos(math.pi * progress)
    return math.sqrt(progress) if config.shape == "square-root" else progress


def draw_hybrid(rows: IntArray, step: int, *, probability: float, seed: int, per_batch: bool = False) -> BoolArray:
    """Which examples of a batch are hybrid: a pure function of (seed, step, row).

    Args:
        rows: Row number of each example in the training set, [B]; order and company do not matter.
        step: Optimizer step, 0-based.
        probability: From `hybrid_probability`.
        seed: Seed of the stream.
        per_batch: One draw for the whole batch (the released code) instead of one per example.
    """
    if per_batch:
        return np.full(len(rows), np.random.default_rng([_STREAM, seed, step]).random() < probability)
    # One generator per example keeps the draw independent of how a step is cut into micro-batches.
    draws = [np.random.default_rng([_STREAM, seed, step, int(row)]).random() for row in rows]
    return np.array(draws) < probability
