"""Slots: prompt positions whose vector is no text's. Prompts know what stands there; only models know its vector."""

from collections.abc import Sequence
from dataclasses import dataclass

ITEM = "item"
"""Kind of the slots that items bring with them."""


@dataclass(frozen=True)
class Slot:
    """A position of the wording, where a template says `{KIND}`.

    Attributes:
        kind: Who provides its vector; registered with `add_slot_field`.
        key: What the provider is asked for, such as a user's row; 0 where the row's history says it all.
    """

    kind: str
    key: int = 0


@dataclass(frozen=True)
class PlacedSlot:
    """A slot and its position among the tokens."""

    position: int
    slot: Slot


_fields: list[str] = []


def slot_fields() -> Sequence[str]:
    """Kinds of slots that templates may name."""
    return tuple(_fields)


def add_slot_field(kind: str) -> None:
    """Let templates name a kind of slot."""
    if kind not in _fields:
        _fields.append(kind)
