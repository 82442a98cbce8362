"""What a sweep is made of: axes with named options, and a run for each combination and seed."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from llara.errors import ConfigError
from llara.run.config import RunConfig, config_to_dict, load_config
from llara.run.settings import read_settings

_JUDGING = ("data.", "evaluate.", "output=", "seed=")
"""What no option may change: all runs are judged on the same rows; folders and seeds are the sweep's."""


@checked(frozen=True, kw_only=True, config={"extra": "forbid"})
class SweepFile:
    """The content of a sweep's YAML file."""

    base: Annotated[str, Field(min_length=1)]
    """Settings of all runs, a YAML file beside this one."""
    output: Annotated[str, Field(min_length=1)]
    """Folder for the runs and the page."""
    axes: Annotated[dict[str, dict[str, list[str]]], Field(min_length=1)]
    """Options by axis, each a list of `a.b=c`; the first option of each axis is what the others are compared with."""
    settings: list[str] = Field(default_factory=list)
    """`a.b=c` for all runs."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(default_factory=lambda: [0])
    """Each combination is trained once with each; results are the mean."""
    skip: list[dict[str, str | list[str]]] = Field(default_factory=list)
    """Combinations that are not run: options by axis, one or several; an axis that is not named stands for all."""


@dataclass(frozen=True)
class Cell:
    """A combination of options.

    Attributes:
        options: The option of each axis, by axis, in the file's order.
        runs: Settings of its runs, one for each seed.
    """

    options: Mapping[str, str]
    runs: tuple[RunConfig, ...]

    @property
    def name(self) -> str:
        """Its options, such as "hybrid, sasrec"."""
        return ", ".join(self.options.values())


@dataclass(frozen=True)
class Sweep:
    """All of them.

    Attributes:
        output: Folder for the runs and the page.
        axes: Options by axis, in the file's order.
        cells: Those that are run; the first one is what the others are compared with.
    """

    output: Path
    axes: Mapping[str, tuple[str, ...]]
    cells: tuple[Cell, ...]

    @property
    def runs(self) -> list[RunConfig]:
        """Each run once, although cells whose options come to the same settings share theirs."""
        return list({run.output: run for cell in self.cells for run in cell.runs}.values())


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's file; every setting of every run is checked before anything is trained.

    Raises:
        ConfigError: If the file, an option or a combination is not valid.
    """
    content = _read(path)
    axes = {axis: tuple(options) for axis, options in content.axes.items()}
    empty = [axis for axis, options in axes.items() if not options]
    if empty:
        raise ConfigError(f"{path}: axes.{empty[0]} has no option. Give it one or more, such as `sasrec: []`.")
    _check_settings(path, content)
    _check_skipped(path, content)
    output = Path(content.output)
    known: dict[str, RunConfig] = {}
    cells = []
    for chosen in _combinations(axes, content.skip):
        settings = [
            *content.settings,
            *(text for axis, option in chosen.items() for text in content.axes[axis][option]),
        ]
        runs = [_run(path, content, settings, chosen, seed) for seed in content.seeds]
        cells.append(Cell(chosen, tuple(known.setdefault(_identity(run), run) for run in runs)))
    if len(cells) < 2:
        raise ConfigError(f"{path}: a sweep compares combinations, found {len(cells)}. Add options, or skip fewer.")
    return Sweep(output, axes, tuple(cells))


def _run(path: Path, content: SweepFile, settings: Sequence[str], chosen: Mapping[str, str], seed: int) -> RunConfig:
    name = "-".join("".join(c if c.isalnum() or c in "._" else "-" for c in option) for option in chosen.values())
    folder = Path(content.output) / "runs" / (name if len(content.seeds) == 1 else f"{name}-{seed}")
    seeded = [f"seed={seed}", f"recommender.fit.seed={seed}", f"train.seed={seed}"]
    try:
        config = load_config(path.parent / content.base, [*settings, *seeded])
    except ConfigError as error:
        raise ConfigError(f"{path}, combination '{', '.join(chosen.values())}': {error}") from error
    return replace(config, output=str(folder))


def _combinations(
    axes: Mapping[str, tuple[str, ...]], skip: Sequence[Mapping[str, str | list[str]]]
) -> Iterator[dict[str, str]]:
    for options in itertools.product(*axes.values()):
        chosen = dict(zip(axes, options, strict=True))
        if not any(all(chosen[axis] in _several(names) for axis, names in rule.items()) for rule in skip):
            yield chosen


def _several(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _identity(run: RunConfig) -> str:
    """Of all settings but the folder."""
    return hashlib.sha256(json.dumps({**config_to_dict(run), "output": ""}, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> SweepFile:
    if not path.is_file():
        raise ConfigError(f"sweep file {path} does not exist. See configs/ablation-movielens.yaml for a commented one.")
    try:
        return _adapter().validate_python(read_settings(path))
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}.") from error


@cache
def _adapter() -> TypeAdapter[SweepFile]:
    return TypeAdapter(SweepFile)


def _check_settings(path: Path, content: SweepFile) -> None:
    for axis, options in content.axes.items():
        for option, settings in options.items():
            for text in settings:
                if text.startswith(_JUDGING):
                    raise ConfigError(
                        f"{path}: axes.{axis}.{option} sets {text}, but all runs of a sweep are judged on the same "
                        "rows and candidates, and have folders and seeds of its own. Put what concerns all runs "
                        "under `settings`, and seeds under `seeds`."
                    )


def _check_skipped(path: Path, content: SweepFile) -> None:
    for rule in content.skip:
        for axis, names in rule.items():
            if axis not in content.axes:
                raise ConfigError(f"{path}: skip names the axis '{axis}'; there are: {', '.join(content.axes)}.")
            unknown = [name for name in _several(names) if name not in content.axes[axis]]
            if unknown:
                known = ", ".join(content.axes[axis])
                raise ConfigError(f"{path}: skip names '{unknown[0]}' of axis '{axis}', which has: {known}.")
