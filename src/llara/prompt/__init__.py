"""Templates, hybrid prompts, token encoding, batching and answer parsing.

This package knows item indices in slots; only `llara.model` turns them into vectors.
"""

from llara.prompt.answers import named_candidate, normalize_answer
from llara.prompt.batching import PromptBatch, collate, collate_histories, collate_left, collate_tree
from llara.prompt.encoding import EncodedPrompt, PromptConfig, PromptEncoder
from llara.prompt.hybrid import HybridPrompt, ItemPart, Representation, build_history, build_prompt, render_prompt
from llara.prompt.slots import PlacedSlot, Slot
from llara.prompt.templates import NOUNS, Template, templates_for
from llara.prompt.tokens import Frame, make_frame, tokenize_titles

__all__ = [
    "NOUNS",
    "EncodedPrompt",
    "Frame",
    "HybridPrompt",
    "ItemPart",
    "PlacedSlot",
    "PromptBatch",
    "PromptConfig",
    "PromptEncoder",
    "Representation",
    "Slot",
    "Template",
    "build_history",
    "build_prompt",
    "collate",
    "collate_histories",
    "collate_left",
    "collate_tree",
    "make_frame",
    "named_candidate",
    "normalize_answer",
    "render_prompt",
    "templates_for",
    "tokenize_titles",
]
