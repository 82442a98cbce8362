"""Text to token ids, with titles kept apart from everything that has meaning to the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from llara.errors import PromptError

_BODY_MARK, _ANSWER_MARK, _LATER_MARK = "\u241fbody\u241f", "\u241fanswer\u241f", "\u241flater\u241f"


@dataclass(frozen=True)
class Frame:
    """What stands around the prompt's wording: begin token or chat markup.

    Attributes:
        prefix: Token ids before the wording.
        suffix: Token ids between wording and answer: a chat template's generation prompt; else a new line, as before
            every listed item, so that writing an answer is continuing one of the lists.
        end: The token id that ends an answer.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    end: int


def opening_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """What this tokenizer puts before a plain text: its begin token, or nothing."""
    opening = tokenizer("", add_special_tokens=True)["input_ids"]
    return tuple(int(token) for token in opening if token == tokenizer.bos_token_id)


def make_frame(tokenizer: PreTrainedTokenizerBase, *, use_chat_template: bool) -> Frame:
    """Find out how this tokenizer opens a text and ends an answer.

    A system message that the chat template makes up, such as the assistant's name or today's date, is left out: it
    costs tokens in every prompt and says nothing of the task.

    Raises:
        PromptError: If the tokenizer has no end token, or `use_chat_template` without a chat template.
    """
    if not use_chat_template:
        if tokenizer.eos_token_id is None:
            raise PromptError("the tokenizer has no end-of-text token; set `eos_token` in its tokenizer_config.json.")
        begin = opening_tokens(tokenizer)
        line = tuple(tokenizer("\n", add_special_tokens=False)["input_ids"])
        return Frame(prefix=begin, suffix=line, end=int(tokenizer.eos_token_id))
    if not tokenizer.chat_template:
        raise PromptError("prompt.chat_template is 'always', but the tokenizer has no chat template. Use 'never'.")
    messages = [{"role": "user", "content": _BODY_MARK}]
    asked = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    answered = str(
        tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": _ANSWER_MARK}], tokenize=False)
    )
    if asked.count(_BODY_MARK) != 1 or answered.count(_ANSWER_MARK) != 1:
        raise PromptError(
            "the chat template does not show a message's text exactly once. Use prompt.chat_template: never."
        )
    before, after = asked.split(_BODY_MARK)
    end_of_answer = answered.split(_ANSWER_MARK)[1]
    before = _without_invented_text(tokenizer, before, end_of_answer)
    closing = tokenizer(end_of_answer, add_special_tokens=False)["input_ids"]
    if not closing:
        raise PromptError("the chat template does not end an assistant's message. Use prompt.chat_template: never.")
    markup = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    return Frame(
        prefix=tuple(tokenizer(before, add_special_tokens=False)["input_ids"]),
        suffix=tuple(tokenizer(after, add_special_tokens=False)["input_ids"]),
        end=next((token for token in closing if token in markup), closing[0]),
    )


def _without_invented_text(tokenizer: PreTrainedTokenizerBase, before: str, end_of_answer: str) -> str:
    """What the chat template puts before a user's first message, as it would before a later one.

    Args:
        tokenizer: With a chat template.
        before: What stands before the first message.
        end_of_answer: What stands after an assistant's message.

    Returns:
        `before` as it is where the template does not tell how it opens a user's message.
    """
    turns = [("user", _BODY_MARK), ("assistant", _ANSWER_MARK), ("user", _LATER_MARK)]
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        shown = str(tokenizer.apply_chat_template(messages, tokenize=False))
    except TemplateError:
        return before
    between = shown.partition(_ANSWER_MARK)[2].partition(_LATER_MARK)[0]
    if not between.startswith(end_of_answer):
        return before
    opening = between[len(end_of_answer) :]
    if not opening or not before.endswith(opening):
        return before
    begin = str(tokenizer.bos_token or "")
    if before[: -len(opening)].removeprefix(begin).strip() == "":
        return before
    return opening if not begin or opening.startswith(begin) or not before.startswith(begin) else begin + opening


def tokenize_titles(
    tokenizer: PreTrainedTokenizerBase, titles: Sequence[str], *, max_tokens: int
) -> tuple[tuple[int, ...], ...]:
    """Token ids of each title, cut at `max_tokens`, free of special and added tokens whatever the title says.

    A title such as "</s>" or "<|im_start|>" becomes the ordinary tokens of its characters. Each title is preceded by
    the space that separates words, so that it reads the same in a list and as an answer.

    Raises:
        PromptError: If a title has no token.
    """
    space = "" if _adds_space(tokenizer) else " "
    forbidden = set(tokenizer.all_special_ids) | {
        token for text, token in tokenizer.get_added_vocab().items() if not text.isspace()
    }
    # Some tokenizers have one token for "unknown" and "end of text"; that one must not come from a title.
    unknown = None if tokenizer.unk_token_id == tokenizer.eos_token_id else tokenizer.unk_token_id
    encoded = tokenizer([space + title for title in titles], add_special_tokens=False, split_special_tokens=True)
    rows: list[tuple[int, ...]] = []
    for title, ids in zip(titles, encoded["input_ids"], strict=True):
        kept = [token for token in ids if token not in forbidden or token == unknown]
        if len(kept) != len(ids):
            kept = _spell(tokenizer, space + title, forbidden)
        if not kept:
            raise PromptError(f"title {title!r} has no token in this tokenizer. Give the item a readable title.")
        rows.append(tuple(kept[:max_tokens]))
    return tuple(rows)


def _adds_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    """SentencePiece tokenizers put a word-start mark before the first word by themselves."""
    first = tokenizer.convert_ids_to_tokens(tokenizer("a", add_special_tokens=False)["input_ids"])[0]
    return str(first).startswith("▁")


def _spell(tokenizer: PreTrainedTokenizerBase, text: str, forbidden: set[int]) -> list[int]:
    """Tokenize character by character: no added token can form across characters."""
    ids: list[int] = []
    for character in text:
        ids.extend(tokenizer(character, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    return [token for token in ids if token not in forbidden]
