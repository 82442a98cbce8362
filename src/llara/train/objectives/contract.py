"""What every objective promises; the loop, the plan and the evaluation ask it and know no kind by name."""

from typing import Literal, Protocol

from torch import Tensor

from llara.model import LlaraOutput, ScorerName
from llara.prompt import PromptBatch

PromptKind = Literal["candidates", "histories"]
"""candidates: a history and candidates, one target per row; histories: a history alone, a target after each item."""


class Objective(Protocol):
    """What is minimized. A kind is a small immutable object; its settings are its own fields."""

    @property
    def trains(self) -> tuple[ScorerName, ...]:
        """Scorers that the loss teaches, at least one: the model computes them in training and a run reports them.

        The first is the one that a run uses unless told otherwise.
        """

    @property
    def needs_answers(self) -> bool:
        """Whether prompts carry the target's answer tokens, as `answer` asks; they cost length."""

    @property
    def prompts(self) -> PromptKind:
        """Which prompts it is trained on."""

    def losses(self, output: LlaraOutput, batch: PromptBatch, target_column: Tensor) -> Tensor:
        """The loss of each target; a step minimizes the mean over its targets.

        Args:
            output: What the model computed for the scorers in `trains`; the rest is None.
            batch: The prompts, with answers where `needs_answers`, B rows.
            target_column: Column of the target among the candidates of each row, [B]; histories alone have their
                targets in `batch.next_items`.

        Returns:
            Finite numbers, in nats where they are log-likelihoods, [B], or [M] for the M targets of histories alone.
        """
