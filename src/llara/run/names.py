"""Names that cannot collide: of runs side by side, and of files made of models' names."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from llara.errors import ConfigError


def distinct_names(runs: Sequence[Path]) -> list[str]:
    """A name for each run folder: its last part, with as many parts before it as tell the folders apart.

    Raises:
        ConfigError: If a folder is given twice.
    """
    places = [run.resolve() for run in runs]
    twice = [str(place) for place, count in Counter(places).items() if count > 1]
    if twice:
        raise ConfigError(f"the run {twice[0]} is given twice. Give each run of --against once, and not RUN itself.")
    names = []
    for place in places:
        parts = 1
        while sum(other.parts[-parts:] == place.parts[-parts:] for other in places) > 1:
            parts += 1
        names.append("/".join(place.parts[-parts:]))
    return names


def file_stems(models: Sequence[str]) -> dict[str, str]:
    """A file's name, without ending, for each model: lower case, words joined by hyphens, no two the same.

    Where two models would get the same, the later one has a number behind it.
    """
    stems: dict[str, str] = {}
    for model in models:
        stem = "-".join("".join(c if c.isalnum() or c == "_" else " " for c in model.casefold()).split())
        taken, number = set(stems.values()), 1
        name = stem
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        stems[model] = name
    return stems
