"""Hybrid prompt -> token ids with slot positions: the last step before batching."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Annotated, Literal

import numpy as np
from pydantic import SkipValidation
from transformers import PreTrainedTokenizerBase

from llara.data import Catalog, IntArray
from llara.data.item_text import TITLE_ONLY, parse_item_text
from llara.data.limits import PositiveInt, check_limits
from llara.errors import ConfigError
from llara.prompt.hybrid import HybridPrompt, ItemPart, Representation, build_history, build_prompt
from llara.prompt.slots import PlacedSlot, Slot
from llara.prompt.templates import Template, history_lead, templates_for
from llara.prompt.tokens import make_frame, opening_tokens, tokenize_titles

ITEM_SEPARATOR = "\n"
# A call changes settings of a shared tokenizer ("Already borrowed", says the Rust side when another thread reads them).
_TOKENIZING = Lock()
WORDING_PART, HISTORY_PART, CANDIDATE_PART = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """How a history and its candidates become text."""

    history: Representation = "hybrid"
    """How history items are written: hybrid, text, behavior or index."""
    candidates: Representation = "hybrid"
    """How candidates are written: hybrid, text, behavior or index."""
    item_text: Annotated[str, SkipValidation] = TITLE_ONLY  # checked below, where the message can show what to write
    """The title and any metadata columns, such as "{title} ({year}; {genres})"; missing values vanish with their
    separators and brackets."""
    max_title_tokens: PositiveInt = 32
    """Item text is cut at this many tokens, >= 1."""
    templates: tuple[str, ...] = ()
    """Own wordings with {history}, {candidates}, {num_history}, {num_candidates}; empty: the noun's built-in three."""
    chat_template: Literal["auto", "always", "never"] = "auto"
    """auto: use the backbone's chat template where it has one; always; never."""

    def __post_init__(self) -> None:
        check_limits(self, "prompt")
        try:
            parse_item_text(self.item_text)
        except ConfigError as error:
            raise ConfigError(f"prompt.item_text: {error}") from error

    def build_templates(self, noun: str) -> tuple[Template, ...]:
        """The wordings in use: the user's own, or the built-in ones of the noun."""
        if not self.templates:
            return templates_for(noun)
        return tuple(Template(name=f"own-{place}", text=text) for place, text in enumerate(self.templates, start=1))


@dataclass(frozen=True)
class EncodedPrompt:
    """One prompt as token ids.

    Attributes:
        token_ids: Prompt tokens without padding; a slot holds the filler id, shape [T].
        slot_positions: Where the slots are in `token_ids`, ascending, shape [S].
        slot_items: Item index of each slot, shape [S].
        candidate_positions: Last prompt position of each candidate (its slot, or its last text token), shape [C].
        candidate_items: Item index of each candidate in prompt order, shape [C].
        history_items: Item index of each history item, oldest first, shape [L].
        parts: What each token belongs to: 0 the wording, 1 a history item, 2 a candidate, shape [T].
    """

    token_ids: list[int]
    slot_positions: list[int]
    slot_items: list[int]
    candidate_positions: list[int]
    candidate_items: list[int]
    history_items: list[int]
    parts: list[int]
    other_slots: list[PlacedSlot] = field(default_factory=list)
    """Slots of the wording, ascending; `slot_positions` and `slot_items` are those of items."""
    history_positions: list[int] = field(default_factory=list)
    """Last position of each history item (its slot, or its last text token), shape [L]; empty in a part of a prompt."""
    whole_items: bool = False
    """Whether each slot stands for all of its item, its text too."""

    @property
    def first_of_candidates(self) -> int:
        """Tokens before the first one that belongs to a candidate: equal for all draws of one history."""
        return self.parts.index(CANDIDATE_PART) if CANDIDATE_PART in self.parts else len(self.parts)

    def before(self, place: int) -> "EncodedPrompt":
        """The tokens before `place`, at most `first_of_candidates`, as a prompt without candidates."""
        slots = sum(position < place for position in self.slot_positions)
        return EncodedPrompt(
            token_ids=self.token_ids[:place],
            slot_positions=self.slot_positions[:slots],
            slot_items=self.slot_items[:slots],
            candidate_positions=[],
            candidate_items=[],
            history_items=self.history_items,
            parts=self.parts[:place],
            other_slots=[placed for placed in self.other_slots if placed.position < place],
        )

    def after(self, place: int) -> "EncodedPrompt":
        """The tokens from `place` on, at most `first_of_candidates`, as a prompt with all candidates."""
        slots = sum(position < place for position in self.slot_positions)
        return EncodedPrompt(
            token_ids=self.token_ids[place:],
            slot_positions=[position - place for position in self.slot_positions[slots:]],
            slot_items=self.slot_items[slots:],
            candidate_positions=[position - place for position in self.candidate_positions],
            candidate_items=self.candidate_items,
            history_items=self.history_items,
            parts=self.parts[place:],
            other_slots=[
                PlacedSlot(placed.position - place, placed.slot)
                for placed in self.other_slots
                if placed.position >= place
            ],
        )


class PromptEncoder:
    """Encodes prompts for one catalog and one tokenizer; every title is tokenized once.

    Args:
        tokenizer: The backbone's tokenizer.
        catalog: Items to write.
        config: Representations, item text and wording.

    Raises:
        PromptError: If the tokenizer cannot frame an answer or a title has no tokens.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, catalog: Catalog, config: PromptConfig) -> None:
        self.tokenizer = tokenizer
        self.config = config
        self.templates = config.build_templates(catalog.noun)
        chat = config.chat_template == "always" or (config.chat_template == "auto" and bool(tokenizer.chat_template))
        self.frame = make_frame(tokenizer, use_chat_template=chat)
        self.opening = opening_tokens(tokenizer)
        self.lead = history_lead(catalog.noun)
        self.titles = catalog.titles
        self.item_texts = catalog.texts(config.item_text)
        limit = config.max_title_tokens
        numbers = [str(index) for index in range(1, catalog.num_items + 1)]
        self._text_tokens = ((), *tokenize_titles(tokenizer, self.item_texts[1:], max_tokens=limit))
        self._title_tokens = ((), *tokenize_titles(tokenizer, self.titles[1:], max_tokens=limit))
        self._number_tokens = ((), *tokenize_titles(tokenizer, numbers, max_tokens=limit))
        self._filler = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.frame.end)
        self._wording = lru_cache(maxsize=4096)(self._tokenize_wording)
        self._item_sizes = lru_cache(maxsize=2)(self._measure_items)
        self._frame_size = lru_cache(maxsize=4096)(self._measure_frame)

    @property
    def filler(self) -> int:
        """Token id that stands in slots and padding; never read by the model."""
        return self._filler

    @property
    def largest_token(self) -> int:
        """Largest token id that this encoder brings into prompts and answers."""
        wording = self._wording("".join(template.text for template in self.templates))
        kinds = (
            *self._text_tokens,
            *self._title_tokens,
            *self._number_tokens,
            self.frame.prefix,
            self.frame.suffix,
            wording,
        )
        return max(self._filler, self.frame.end, *(max(tokens, default=0) for tokens in kinds))

    def _tokenize_wording(self, text: str) -> tuple[int, ...]:
        with _TOKENIZING:
            return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @property
    def slot_kinds(self) -> tuple[str, ...]:
        """Kinds of slots that the wordings name, beside those of items."""
        return tuple(dict.fromkeys(kind for template in self.templates for kind in template.slot_kinds))

    def build(
        self,
        history: Sequence[int],
        candidates: Sequence[int],
        *,
        template: int = 0,
        slots: Mapping[str, int] | None = None,
    ) -> HybridPrompt:
        """The prompt of one example in the wording number `template` (taken modulo their count)."""
        return build_prompt(self.templates[template % len(self.templates)], history, candidates, slots=slots)

    def encode(self, prompt: HybridPrompt) -> EncodedPrompt:
        """Token ids and slots of a prompt."""
        return self._encode(prompt, prefix=self.frame.prefix, suffix=self.frame.suffix)

    def encode_history(self, history: Sequence[int]) -> EncodedPrompt:
        """A history alone, as the sequence objective reads it: no candidates, no question, no chat markup."""
        return self._encode(build_history(self.lead, history), prefix=self.opening, suffix=())

    def encode_whole_items(self, history: Sequence[int]) -> EncodedPrompt:
        """A history alone, each item as one slot that stands for its text, too; nothing is worded.

        Pretrained models lean on their first token, whatever it is, so that an item must not be there.
        """
        opening = list(self._before_whole_items)
        positions = [len(opening) + place for place in range(len(history))]
        return EncodedPrompt(
            token_ids=[*opening, *[self._filler] * len(history)],
            slot_positions=positions,
            slot_items=list(history),
            candidate_positions=[],
            candidate_items=[],
            history_items=list(history),
            parts=[*[WORDING_PART] * len(opening), *[HISTORY_PART] * len(history)],
            history_positions=positions,
            whole_items=True,
        )

    @property
    def _before_whole_items(self) -> tuple[int, ...]:
        return self.opening or self._wording(ITEM_SEPARATOR)

    def _encode(self, prompt: HybridPrompt, *, prefix: Sequence[int], suffix: Sequence[int]) -> EncodedPrompt:
        tokens = list(prefix)
        slot_positions: list[int] = []
        slot_items: list[int] = []
        candidate_positions: list[int] = []
        history_positions: list[int] = []
        other_slots: list[PlacedSlot] = []
        parts = [WORDING_PART] * len(tokens)
        separator = self._wording(ITEM_SEPARATOR)
        for part in prompt.parts:
            if isinstance(part, str):
                tokens.extend(self._wording(part))
                parts.extend([WORDING_PART] * (len(tokens) - len(parts)))
                continue
            if isinstance(part, Slot):
                other_slots.append(PlacedSlot(len(tokens), part))
                tokens.append(self._filler)
                parts.append(WORDING_PART)
                continue
            written, has_slot = self._item_tokens(part)
            tokens.extend(separator)
            tokens.extend(written)
            if has_slot:
                slot_positions.append(len(tokens))
                slot_items.append(part.item_index)
                tokens.append(self._filler)
            (candidate_positions if part.is_candidate else history_positions).append(len(tokens) - 1)
            parts.extend([CANDIDATE_PART if part.is_candidate else HISTORY_PART] * (len(tokens) - len(parts)))
        tokens.extend(suffix)
        parts.extend([WORDING_PART] * len(suffix))
        return EncodedPrompt(
            token_ids=tokens,
            slot_positions=slot_positions,
            slot_items=slot_items,
            candidate_positions=candidate_positions,
            candidate_items=list(prompt.candidates),
            history_items=list(prompt.history),
            parts=parts,
            other_slots=other_slots,
            history_positions=history_positions,
        )

    def history_lengths(self, histories: Sequence[Sequence[int]]) -> IntArray:
        """Tokens of what `encode_history` makes of these, [N]."""
        of_items = self._item_sizes(is_candidate=False)
        before = len(self.opening) + len(self._wording(self.lead))
        return np.array([before + of_items[list(history)].sum() for history in histories], dtype=np.int64)

    def whole_item_lengths(self, histories: Sequence[Sequence[int]]) -> IntArray:
        """Tokens of what `encode_whole_items` makes of these, [N]."""
        before = len(self._before_whole_items)
        return np.array([before + len(history) for history in histories], dtype=np.int64)

    def _item_tokens(self, part: ItemPart) -> tuple[tuple[int, ...], bool]:
        shown = self.config.candidates if part.is_candidate else self.config.history
        if shown == "behavior":
            return (), True
        if shown == "index":
            return self._number_tokens[part.item_index], False
        return self._text_tokens[part.item_index], shown == "hybrid"

    @property
    def num_items(self) -> int:
        """Size of the catalog, without padding."""
        return len(self.item_texts) - 1

    def text_tokens(self, item_index: int) -> tuple[int, ...]:
        """Token ids of an item's text, as prompts show it."""
        return self._text_tokens[item_index]

    def subject_tokens(self, item_index: int) -> tuple[int, ...]:
        """Token ids of what an item's text says about it: the metadata shown after the title, or else the title."""
        text, title = self._text_tokens[item_index], self._title_tokens[item_index]
        return text[len(title) :] if text[: len(title)] == title and len(text) > len(title) else text

    def answer_tokens(self, item_index: int) -> tuple[int, ...]:
        """What the model should write for an item: its title (its number if candidates are numbers), then the end."""
        source = self._number_tokens if self.config.candidates == "index" else self._title_tokens
        return (*source[item_index], self.frame.end)

    def answer_text(self, item_index: int) -> str:
        """The text that names an item in an answer, as it reads after tokenizing (so a cut title reads cut)."""
        return str(self.tokenizer.decode(list(self.answer_tokens(item_index)[:-1]), skip_special_tokens=True)).strip()

    def prompt_lengths(
        self, histories: Sequence[Sequence[int]], candidates: Sequence[Sequence[int]], templates: Sequence[int]
    ) -> IntArray:
        """Tokens of the prompts that `build` and `encode` make of these, [N]."""
        history_size, candidate_size = (self._item_sizes(is_candidate=kind) for kind in (False, True))
        return np.array(
            [
                self._frame_size(template % len(self.templates), len(history), len(items))
                + history_size[list(history)].sum()
                + candidate_size[list(items)].sum()
                for history, items, template in zip(histories, candidates, templates, strict=True)
            ],
            dtype=np.int64,
        )

    def _measure_items(self, *, is_candidate: bool) -> IntArray:
        """Tokens that each item takes in a prompt, separator and slot included, [num_items + 1]."""
        written = (self._item_tokens(ItemPart(item, is_candidate)) for item in range(self.num_items + 1))
        separator = len(self._wording(ITEM_SEPARATOR))
        return np.array([separator + len(tokens) + has_slot for tokens, has_slot in written], dtype=np.int64)

    def _measure_frame(self, template: int, num_history: int, num_candidates: int) -> int:
        """Tokens of a prompt that belong to no item."""
        prompt = self.build([1] * num_history, [1] * num_candidates, template=template)
        wording = sum(len(self._wording(part)) for part in prompt.parts if isinstance(part, str))
        wording += sum(isinstance(part, Slot) for part in prompt.parts)
        return len(self.frame.prefix) + wording + len(self.frame.suffix)
