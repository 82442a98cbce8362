"""What a leak check found, and the names by which leaks are allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from llara.errors import ConfigError

Level = Literal["ok", "note", "warning", "leak"]

LEAK_NAMES = (
    "shared-users",
    "own-future",
    "future-training",
    "near-duplicate-rows",
    "target-in-history",
    "item-order",
    "target-position",
    "metadata",
)
"""Checks that can find a leak."""

WARNING_NAMES = ("duplicate-titles", "touched-candidates")
"""Checks that warn at most: there is nothing to allow."""


@dataclass(frozen=True)
class LeakageFinding:
    """What one check found.

    Attributes:
        name: The check, such as "item-order".
        level: "leak": results measure something else than they seem to; "warning": a doubt to look into;
            "note": a fact that is usual in sound data and in the paper's protocol, good to know; "ok".
        message: What, how many of how many, and what to do.
        numbers: The same for programs; ready for `json.dumps`.
    """

    name: str
    level: Level
    message: str
    numbers: Mapping[str, object] = field(default_factory=dict)


def refuse_unknown_leaks(names: Iterable[str], *, where: str) -> None:
    """Refuse names that are no check which can find a leak.

    Args:
        names: What somebody allows.
        where: The setting or option that holds them, for the message.

    Raises:
        ConfigError: If there is such a name; the message gives the nearest one.
    """
    for name in names:
        if name in WARNING_NAMES:
            raise ConfigError(f"{where}: {name!r} warns at most, so there is nothing to allow. Leave it out.")
        if name not in LEAK_NAMES:
            near = get_close_matches(name, LEAK_NAMES, n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else f"Valid are {', '.join(LEAK_NAMES)}."
            raise ConfigError(f"{where}: no check named {name!r} can find a leak. {remedy}")


def of(count: int, total: int) -> str:
    """A count with its total and share: "26 of 2,237 (1.2 %)"."""
    return f"{count:,} of {total:,} ({percent(count / max(1, total))})"


def percent(ratio: float) -> str:
    """A share for people: "1.2 %", "< 0.01 %"."""
    return "< 0.01 %" if 0 < ratio < 1e-4 else f"{100 * ratio:.3g} %"
