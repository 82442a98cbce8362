"""Prompt templates: fixed wording with fields, three per noun. Item titles are never part of a template."""

import re
from dataclasses import dataclass

from llara.errors import ConfigError
from llara.prompt.slots import slot_fields

FIELDS = ("history", "candidates", "num_history", "num_candidates")
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Template:
    """One wording of the task.

    Attributes:
        name: Such as "movie-1"; shown in messages and the report.
        text: Wording with the fields `{history}` and `{candidates}` (one line per item) once each, and optionally
            `{num_history}` and `{num_candidates}` (true counts) and kinds of slots. It ends where the answer starts.
    """

    name: str
    text: str

    def __post_init__(self) -> None:
        found = _FIELD.findall(self.text)
        known = (*FIELDS, *slot_fields())
        unknown = [field for field in found if field not in known]
        if unknown:
            raise ConfigError(
                f"template '{self.name}': unknown field {{{unknown[0]}}}; known: {', '.join(known)}. "
                "Rename or remove it."
            )
        for field in ("history", "candidates"):
            if found.count(field) != 1:
                raise ConfigError(
                    f"template '{self.name}': expected {{{field}}} once, found {found.count(field)} times. "
                    "The model needs the history and the candidates exactly once."
                )
        if self.text != self.text.rstrip():
            raise ConfigError(f"template '{self.name}': ends with white space; remove it, the answer brings its own.")

    @property
    def slot_kinds(self) -> tuple[str, ...]:
        """Kinds of slots that the text names, in order."""
        return tuple(field for field in _FIELD.findall(self.text) if field not in FIELDS)

    def split(self) -> list[tuple[str, bool]]:
        """Pieces of the text in order, each with whether it is a field's name instead of wording."""
        pieces = _FIELD.split(self.text)
        return [(piece, place % 2 == 1) for place, piece in enumerate(pieces) if piece or place % 2 == 1]


_WORDINGS = (
    "{person} {verb} these {num_history} {nouns}, oldest first:{history}\n"
    "One of these {num_candidates} {nouns} came next:{candidates}\n"
    "The next {noun}:",
    "Past {nouns} of one {user} ({num_history}), the latest at the end:{history}\n"
    "Pick the {noun} that follows from this list of {num_candidates}:{candidates}\n"
    "Pick:",
    "Order matters. So far, {num_history} {nouns} were {participle}:{history}\n"
    "Choices, {num_candidates} in all:{candidates}\n"
    "Best choice for the next {noun}:",
)

# noun -> (person, verb, user, participle, plural)
_VOCABULARY = {
    "movie": ("A viewer", "watched", "viewer", "watched", "movies"),
    "game": ("A player", "played", "player", "played", "games"),
    "artist": ("A listener", "discovered", "listener", "listened to", "artists"),
    "book": ("A reader", "read", "reader", "read", "books"),
    "item": ("A customer", "chose", "customer", "chosen", "items"),
}
NOUNS = tuple(_VOCABULARY)


def templates_for(noun: str) -> tuple[Template, ...]:
    """The three built-in templates of a noun; a noun without wording of its own gets that of "item".

    The wording is ours. Deviation from LLaRA (arXiv:2312.02445): prompts state the true number of items, where the
    released code says 10 and lists 20.
    """
    shown = noun if noun in _VOCABULARY else "item"
    words = dict(zip(("person", "verb", "user", "participle", "nouns"), _VOCABULARY[shown], strict=True))
    filled = []
    for number, wording in enumerate(_WORDINGS, start=1):
        text = wording
        for field, word in {**words, "noun": shown}.items():
            text = text.replace("{" + field + "}", word)
        filled.append(Template(name=f"{shown}-{number}", text=text))
    return tuple(filled)


def history_lead(noun: str) -> str:
    """What stands before a history alone, without candidates; a noun without wording of its own gets that of "item"."""
    person, verb, _, _, nouns = _VOCABULARY[noun if noun in _VOCABULARY else "item"]
    return f"{person} {verb} these {nouns}, oldest first:"
