"""The hybrid prompt: wording and items in order, before any tokenizer has seen it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llara.errors import PromptError
from llara.prompt.slots import Slot
from llara.prompt.templates import Template

Representation = Literal["hybrid", "text", "behavior", "index"]
"""How an item is written: title and behavioral token, title alone, behavioral token alone, or its number."""
REPRESENTATIONS: tuple[Representation, ...] = ("hybrid", "text", "behavior", "index")


@dataclass(frozen=True)
class ItemPart:
    """An item's place in a prompt: its index and whether it is a candidate (else it belongs to the history)."""

    item_index: int
    is_candidate: bool


@dataclass(frozen=True)
class HybridPrompt:
    """Wording (strings), items (`ItemPart`) and slots of other kinds in the order in which the model reads them.

    Items are indices, never text, so nothing that a title holds can act as wording, placeholder or slot.
    """

    template: str
    parts: tuple[str | ItemPart | Slot, ...]

    @property
    def history(self) -> tuple[int, ...]:
        """History item indices, oldest first."""
        return tuple(part.item_index for part in self.parts if isinstance(part, ItemPart) and not part.is_candidate)

    @property
    def candidates(self) -> tuple[int, ...]:
        """Candidate item indices in prompt order."""
        return tuple(part.item_index for part in self.parts if isinstance(part, ItemPart) and part.is_candidate)


def build_prompt(
    template: Template, history: Sequence[int], candidates: Sequence[int], *, slots: Mapping[str, int] | None = None
) -> HybridPrompt:
    """Fill a template with items.

    Args:
        template: The wording.
        history: Item indices without padding, oldest first; at least one.
        candidates: Item indices in the order to show; at least one.
        slots: Key of each kind of slot that the template names; 0 where none is given.

    Raises:
        PromptError: If the history or the candidates are empty or hold padding.
    """
    for name, items in (("history", history), ("candidates", candidates)):
        if len(items) == 0:
            raise PromptError(f"template '{template.name}': {name} is empty; a prompt needs at least one item there.")
        if any(item <= 0 for item in items):
            raise PromptError(f"template '{template.name}': {name} holds padding (index 0); cut it off first.")
    parts: list[str | ItemPart | Slot] = []
    for piece, is_field in template.split():
        if not is_field:
            parts.append(piece)
        elif piece == "history":
            parts.extend(ItemPart(int(item), is_candidate=False) for item in history)
        elif piece == "candidates":
            parts.extend(ItemPart(int(item), is_candidate=True) for item in candidates)
        elif piece in template.slot_kinds:
            parts.append(Slot(piece, (slots or {}).get(piece, 0)))
        else:
            parts.append(str(len(history) if piece == "num_history" else len(candidates)))
    return HybridPrompt(template=template.name, parts=_merge_wording(parts))


def build_history(lead: str, history: Sequence[int]) -> HybridPrompt:
    """A history without candidates: a lead, then the items.

    Args:
        lead: Wording before the first item.
        history: Item indices without padding, oldest first; at least one.

    Raises:
        PromptError: If the history is empty or holds padding.
    """
    if len(history) == 0 or any(item <= 0 for item in history):
        raise PromptError("a history must hold at least one item, and no padding (index 0); cut it off first.")
    return HybridPrompt(
        template="history", parts=(lead, *(ItemPart(int(item), is_candidate=False) for item in history))
    )


def _merge_wording(parts: list[str | ItemPart | Slot]) -> tuple[str | ItemPart | Slot, ...]:
    """Join neighboring strings, so that a number is tokenized together with the words around it."""
    merged: list[str | ItemPart | Slot] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


def render_prompt(prompt: HybridPrompt, item_text: Callable[[int], str], *, slot_mark: str = "◆") -> str:
    """The prompt as a person reads it: one line per item, `slot_mark` where a behavioral token stands."""
    lines = [
        part
        if isinstance(part, str)
        else slot_mark
        if isinstance(part, Slot)
        else f"\n {item_text(part.item_index)} {slot_mark}".rstrip()
        for part in prompt.parts
    ]
    return "".join(lines)
