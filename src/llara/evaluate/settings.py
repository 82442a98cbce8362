"""What an evaluation computes, as settings."""

from dataclasses import dataclass
from typing import Literal

from llara.data.limits import NonNegativeInt, PositiveInt, check_limits


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What an evaluation computes."""

    scorer: Literal["auto", "answer", "listwise", "sequence"] = "auto"
    """How LLaRA scores candidates; auto: by what it was trained for."""
    rows: Literal["last", "dense"] = "last"
    """Rows that are reported: the protocol's one per user, or every position of those users."""
    rows_limit: PositiveInt = 10_000
    """dense only: at most this many test rows, evenly spread."""
    validation_rows: Literal["last", "dense"] = "last"
    """Rows that choose the best step: the protocol's one per validation user, or every position of those users."""
    validation_limit: PositiveInt = 500
    """dense only: at most this many rows, evenly spread."""
    validation_draws: PositiveInt = 3
    """Candidate draws over which each validation during training is averaged, >= 1."""
    generation_draws: NonNegativeInt = 1
    """Candidate draws answered by free generation (the paper's way, with ValidRatio); 0: none. Where it covers all
    draws, it joins the table of the other models."""
    batch_size: PositiveInt = 16
    """Prompts per forward pass."""
    examples: NonNegativeInt = 10
    """Example prompts in the report."""

    def __post_init__(self) -> None:
        check_limits(self, "evaluate")
