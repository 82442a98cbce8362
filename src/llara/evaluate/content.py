"""What a report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llara.errors import DataError
from llara.evaluate.results import EvaluationReport
from llara.leakage import LeakageFinding

Setting = object
"""A plain value, or a list or mapping of settings."""

TrainingMetrics = Sequence[Mapping[str, float | int | None]]
"""Lines of `metrics.jsonl`: each has `step` and any of loss, learning_rate, hybrid_planned, hybrid_realized,
validation_hit_ratio, and `stage` where a training had several."""


@dataclass(frozen=True)
class Choice:
    """What one model picked for one prompt.

    Attributes:
        title: Title of the item that it put first; None where a generated answer named no single candidate.
        correct: Whether that is the item the user really chose (compared by item, not by title).
    """

    title: str | None
    correct: bool

    def __post_init__(self) -> None:
        if self.title is None and self.correct:
            raise DataError("a choice without a title is an invalid answer and cannot be correct")


@dataclass(frozen=True)
class ExamplePrompt:
    """One test row as the model saw it.

    Attributes:
        user_id: The source's id.
        prompt_text: The prompt; slots of behavioral tokens are shown however the caller writes them.
        target_title: What the user really chose.
        candidates: Titles offered, in the prompt's order.
        choices: By model name, in table order.
        target_column: Position of the target in `candidates`; needed to mark the right one of two equal titles.
    """

    user_id: int | str
    prompt_text: str
    target_title: str
    candidates: Sequence[str]
    choices: Mapping[str, Choice]
    target_column: int | None = None

    def is_target(self, column: int) -> bool:
        """Whether the candidate at this position is marked as the one that the user really chose."""
        if self.target_column is None:
            return self.candidates[column] == self.target_title
        return column == self.target_column


@dataclass(frozen=True)
class ReportContent:
    """Everything in `report.html`. Parts that a run does not have are left empty.

    Attributes:
        title: Heading, such as "LLaRA on MovieLens-100K".
        summary: The outcome in a sentence or two (`tables.summary_sentence` writes one).
        evaluation: The results.
        settings: Nested settings of the run, shown as a table.
        data_facts: Name -> value: users, items, interactions, rows, split, origin.
        training_metrics: One mapping per logged step.
        examples: A handful of test rows with each model's choice.
        leakage: What the leak checks found; known leaks stand in `evaluation`.
        weighing: How the model and the recommender were put together, in words.
        notes: Limits a reader must know, one sentence each.
    """

    title: str
    summary: str
    evaluation: EvaluationReport
    settings: Mapping[str, Setting] = field(default_factory=dict)
    data_facts: Mapping[str, Setting] = field(default_factory=dict)
    training_metrics: TrainingMetrics = ()
    examples: Sequence[ExamplePrompt] = ()
    leakage: Sequence[LeakageFinding] = ()
    weighing: str = ""
    notes: Sequence[str] = ()
