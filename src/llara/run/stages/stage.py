"""The contract of a stage."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from llara.model import ScorerName
from llara.run.events import Listener, ignore

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Place:
    """Where a stage works.

    Attributes:
        folder: What a stage makes is left here.
        resume: Whether what an earlier attempt left here is taken up.
        writes: Whether this process may write; of several that train together only the main one does.
        listener: Told of progress.
    """

    folder: Path
    resume: bool = False
    writes: bool = True
    listener: Listener = ignore


@dataclass(frozen=True)
class StagePlan:
    """What one stage of a run is expected to take.

    Attributes:
        name: As in the run's manifest.
        amount: What is done, in words.
        seconds: Expected wall time.
        is_limit: Whether the stage may end earlier: it stops when it no longer gets better, or is good enough.
        uncertainty: By which share of them `seconds` may well be off, judged from the probe alone.
        more_bytes: Memory that it takes beyond what its probe has taken.
        row_seconds: Of ranking one row of one draw by `scorer`, where the probe has done so.
        scorer: See `row_seconds`.
    """

    name: str
    amount: str
    seconds: float
    is_limit: bool = False
    uncertainty: float = 0.0
    more_bytes: int = 0
    row_seconds: float | None = None
    scorer: ScorerName | None = None


@dataclass(frozen=True)
class Probed(Generic[T_co]):
    """What a probe found out.

    Attributes:
        value: In place of what the stage would make, for the probes of later stages; it has not learned anything.
        plan: None where the stage has nothing to do.
    """

    value: T_co
    plan: StagePlan | None


class Stage(Protocol[T_co]):
    """A part of a run; its constructor takes what earlier stages made.

    Attributes:
        name: In the manifest's `seconds`.
        needed: Whether the settings ask for anything of it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def needed(self) -> bool: ...  # noqa: D102

    def run(self, place: Place) -> T_co:
        """Do it, or take up what an earlier attempt has left; the class says what it leaves and how it resumes."""

    def probe(self, seconds: float) -> Probed[T_co | None]:
        """Expect the time of `run` from a little of it, writing nothing.

        Args:
            seconds: About how long the probe may take. A slow machine or a large model makes it look at less, and say
                that it is less certain.
        """
