"""Which objectives there are, by the name that settings use."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from llara.data.limits import PositiveNumber, check_limits
from llara.errors import ConfigError
from llara.model import LlaraOutput, ScorerName
from llara.prompt import PromptBatch
from llara.train.objectives.answer import Answer
from llara.train.objectives.contract import Objective, PromptKind
from llara.train.objectives.listwise import Listwise
from llara.train.objectives.sequence import SequenceObjective
from llara.train.objectives.weighted import WeightedSum


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Which loss is minimized."""

    name: str = "answer"
    """answer: cross-entropy of the answer's tokens (the paper); listwise: softmax over the candidates' scores from the
    listwise head; sum: weighted sum of both; sequence: after each item of a history, the next one by a softmax over the
    catalog, without candidates; or one that was added by `llara.train.register_objective`."""
    answer_weight: PositiveNumber = 1.0
    """sum only: weight of the answer loss, > 0."""
    listwise_weight: PositiveNumber = 1.0
    """sum only: weight of the listwise loss, > 0."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of an objective that was added: its own settings, by name."""

    def __post_init__(self) -> None:
        check_limits(self, "train.objective")
        self.build()

    def build(self) -> Objective:
        """The objective itself.

        Raises:
            ConfigError: If no objective has this name, or its settings are not those of this objective.
        """
        if self.name not in _BUILDERS:
            near = difflib.get_close_matches(self.name, _BUILDERS, n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ConfigError(
                f"train.objective.name must be one of {', '.join(_BUILDERS)}, got '{self.name}'.{hint} One of your own "
                "must be registered before the settings are read: import its module first."
            )
        try:
            return _BUILDERS[self.name](self)
        except TypeError as error:
            raise ConfigError(f"train.objective.settings do not fit the objective '{self.name}': {error}.") from error

    @property
    def trains(self) -> tuple[ScorerName, ...]:
        """See `Objective.trains`."""
        return self.build().trains

    @property
    def prompts(self) -> PromptKind:
        """See `Objective.prompts`."""
        return self.build().prompts

    @property
    def needs_answers(self) -> bool:
        """See `Objective.needs_answers`."""
        return self.build().needs_answers

    def losses(self, output: LlaraOutput, batch: PromptBatch, target_column: Tensor) -> Tensor:
        """See `Objective.losses`."""
        return self.build().losses(output, batch, target_column)


_BUILDERS: dict[str, Callable[[ObjectiveConfig], Objective]] = {
    "answer": lambda config: Answer(**config.settings),
    "listwise": lambda config: Listwise(**config.settings),
    "sequence": lambda config: SequenceObjective(**config.settings),
    "sum": lambda config: WeightedSum(
        answer_weight=config.answer_weight, listwise_weight=config.listwise_weight, **config.settings
    ),
}


def register_objective(name: str, build: Callable[[ObjectiveConfig], Objective]) -> None:
    """Make an objective known under a name, from then on accepted as `train.objective.name`.

    Args:
        name: Not taken yet.
        build: Makes the objective, such as `lambda config: Mine(**config.settings)`. A TypeError is reported as
            settings that do not fit.

    Raises:
        ConfigError: If the name is taken.
    """
    if name in _BUILDERS:
        raise ConfigError(
            f"an objective '{name}' exists already; known are {', '.join(_BUILDERS)}. Choose another name."
        )
    _BUILDERS[name] = build


def known_objectives() -> tuple[str, ...]:
    """Names that `train.objective.name` accepts."""
    return tuple(_BUILDERS)
