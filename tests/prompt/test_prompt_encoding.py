"""Prompts as token ids: representations, slots, candidate positions, answers."""

from collections.abc import Callable, Sequence
from itertools import groupby

import pytest

from llara.data import Catalog
from llara.errors import ConfigError, PromptError
from llara.prompt import EncodedPrompt, PromptConfig, PromptEncoder, tokenize_titles

MakeEncoder = Callable[..., PromptEncoder]
HISTORY, CANDIDATES = [3, 8], [1, 2, 9]


def encode(encoder: PromptEncoder) -> EncodedPrompt:
    return encoder.encode(encoder.build(HISTORY, CANDIDATES))


def read(encoder: PromptEncoder, encoded: EncodedPrompt, *, mark: str = "◆") -> str:
    """The prompt as text, with a mark in each slot."""
    pieces, start = [], 0
    for slot in [*encoded.slot_positions, len(encoded.token_ids)]:
        pieces.append(str(encoder.tokenizer.decode(encoded.token_ids[start:slot])))
        start = slot + 1
    return mark.join(pieces)


HEAD = "A viewer watched these 2 movies, oldest first:"
MIDDLE, END = "\nOne of these 3 movies came next:", "\nThe next movie:\n"


@pytest.mark.parametrize(
    ("history", "candidates", "shown_history", "shown_candidates"),
    [
        ("hybrid", "hybrid", "\n Alien 3◆\n The Thing◆", "\n Alien◆\n Aliens◆\n Blade Runner: The Final Cut◆"),
        ("text", "text", "\n Alien 3\n The Thing", "\n Alien\n Aliens\n Blade Runner: The Final Cut"),
        ("behavior", "behavior", "\n◆\n◆", "\n◆\n◆\n◆"),
        ("index", "index", "\n 3\n 8", "\n 1\n 2\n 9"),
        ("hybrid", "text", "\n Alien 3◆\n The Thing◆", "\n Alien\n Aliens\n Blade Runner: The Final Cut"),
        ("behavior", "index", "\n◆\n◆", "\n 1\n 2\n 9"),
    ],
)
def test_items_are_written_as_asked(
    history: str, candidates: str, shown_history: str, shown_candidates: str, make_encoder: MakeEncoder
) -> None:
    encoder = make_encoder(PromptConfig(history=history, candidates=candidates))  # type: ignore[arg-type]
    encoded = encode(encoder)
    assert read(encoder, encoded) == HEAD + shown_history + MIDDLE + shown_candidates + END
    slots = [3, 8] * ("◆" in shown_history) + [1, 2, 9] * ("◆" in shown_candidates)
    assert encoded.slot_items == slots
    assert all(encoded.token_ids[position] == encoder.filler for position in encoded.slot_positions)
    assert encoded.candidate_items == CANDIDATES
    text_up_to = [
        str(encoder.tokenizer.decode(encoded.token_ids[: place + 1])) for place in encoded.candidate_positions
    ]
    if "◆" in shown_candidates:
        assert encoded.candidate_positions == encoded.slot_positions[-3:]
    else:
        shown = shown_candidates.split("\n")[1:]
        assert [text.endswith(name) for text, name in zip(text_up_to, shown, strict=True)] == [True] * 3


@pytest.mark.parametrize("kind", ["gpt2", "chat", "metaspace", "unigram"])
def test_every_tokenizer_shows_the_same_items(kind: str, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(tokenizer=kind)
    encoded = encode(encoder)
    assert encoded.slot_items == [3, 8, 1, 2, 9]
    text = read(encoder, encoded)
    for title in ("Alien 3◆", "The Thing◆", "Alien◆", "Aliens◆", "Blade Runner: The Final Cut◆"):
        assert title in text
    assert tuple(encoded.token_ids[: len(encoder.frame.prefix)]) == encoder.frame.prefix
    assert not encoder.frame.suffix or tuple(encoded.token_ids[-len(encoder.frame.suffix) :]) == encoder.frame.suffix


def test_a_chat_backbone_is_asked_in_its_own_markup(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(tokenizer="chat")
    text = read(encoder, encode(encoder))
    assert text.startswith("<|im_start|>user\nA viewer watched")
    assert text.endswith("The next movie:<|im_end|>\n<|im_start|>assistant\n")
    assert encoder.answer_tokens(1)[-1] == encoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
    plain = make_encoder(PromptConfig(chat_template="never"), tokenizer="chat")
    assert read(plain, encode(plain)).endswith("The next movie:\n")
    assert plain.answer_tokens(1)[-1] == plain.tokenizer.eos_token_id


def test_a_chat_template_can_be_demanded(make_encoder: MakeEncoder) -> None:
    with pytest.raises(PromptError, match="no chat template"):
        make_encoder(PromptConfig(chat_template="always"))


def test_the_answer_is_the_title_and_the_end(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(PromptConfig(item_text="{title} ({year})"))
    *title, end = encoder.answer_tokens(9)
    assert encoder.tokenizer.decode(title) == " Blade Runner: The Final Cut"
    assert end == encoder.frame.end
    assert encoder.answer_text(9) == "Blade Runner: The Final Cut"


@pytest.mark.parametrize("kind", ["nano", "gpt2", "metaspace", "unigram"])
def test_an_answer_continues_the_prompt_as_a_listed_item_does(kind: str, make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(PromptConfig(history="text", candidates="text"), tokenizer=kind)
    tokens = encode(encoder).token_ids
    title = encoder.answer_tokens(CANDIDATES[0])[:-1]
    line = encoder.frame.suffix
    assert line
    assert tuple(tokens[-len(line) :]) == line
    listed = (*line, *title)
    assert any(tuple(tokens[start : start + len(listed)]) == listed for start in range(len(tokens)))


def test_the_answer_is_the_number_where_candidates_are_numbers(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(PromptConfig(candidates="index"))
    assert encoder.answer_text(17) == "17"
    assert make_encoder(PromptConfig(history="index")).answer_text(1) == "Alien"


@pytest.mark.parametrize("kind", ["nano", "metaspace", "unigram"])
def test_an_answer_text_is_what_generation_of_its_tokens_reads(
    kind: str, make_encoder: MakeEncoder, titled: Callable[[Sequence[str]], Catalog]
) -> None:
    # Characters that a tokenizer lacks become "unknown" tokens, which decoding an answer drops.
    encoder = make_encoder(tokenizer=kind, catalog=titled(["Alien 🙂 3", "Heat"]))
    tokens = list(encoder.answer_tokens(1)[:-1])
    assert encoder.answer_text(1) == str(encoder.tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def test_titles_are_cut_in_prompts_and_answers_alike(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(PromptConfig(max_title_tokens=2))
    assert len(encoder.answer_tokens(9)) == 3
    whole = make_encoder()
    assert len(encode(encoder).token_ids) < len(encode(whole).token_ids)
    assert encoder.answer_tokens(9)[:2] == whole.answer_tokens(9)[:2]
    assert encode(encoder).slot_items == encode(whole).slot_items


def test_metadata_is_shown_after_the_title(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(PromptConfig(item_text="{title} ({year}; {genres})"))
    text = read(encoder, encode(encoder))
    assert "Alien 3 (1974; Horror)◆" in text
    assert "Alien (1970)◆" in text  # no genre, no separator
    with pytest.raises(ConfigError, match=r"no metadata column 'yeer'. Did you mean 'year'"):
        make_encoder(PromptConfig(item_text="{title} ({yeer})"))


def test_wordings_are_chosen_by_number(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder()
    names = [encoder.build(HISTORY, CANDIDATES, template=number).template for number in range(4)]
    assert names == ["movie-1", "movie-2", "movie-3", "movie-1"]


@pytest.mark.parametrize("shown", ["hybrid", "text", "behavior", "index"])
@pytest.mark.parametrize("kind", ["nano", "chat", "metaspace"])
def test_lengths_are_those_of_the_encoded_prompts(make_encoder: MakeEncoder, kind: str, shown: str) -> None:
    encoder = make_encoder(PromptConfig(candidates=shown), tokenizer=kind)  # type: ignore[arg-type]
    histories = [[24], [24, 20, 9], [9] * 10, [3, 4]]
    candidates = [[1, 2, 3], [24, 9, 7], [5, 5, 6], [8, 1, 2]]
    templates = [0, 1, 2, 5]
    found = encoder.prompt_lengths(histories, candidates, templates)
    rows = zip(histories, candidates, templates, strict=True)
    prompts = (encoder.build(history, items, template=number) for history, items, number in rows)
    assert found.tolist() == [len(encoder.encode(prompt).token_ids) for prompt in prompts]


def test_the_largest_token_bounds_every_prompt(make_encoder: MakeEncoder) -> None:
    for kind in ("nano", "chat", "metaspace"):
        encoder = make_encoder(tokenizer=kind)
        for template in range(3):
            encoded = encoder.encode(encoder.build(HISTORY, CANDIDATES, template=template))
            assert max(encoded.token_ids) <= encoder.largest_token


@pytest.mark.parametrize("kind", ["nano", "gpt2", "chat", "metaspace", "unigram"])
@pytest.mark.parametrize(
    ("history", "candidates"),
    [("hybrid", "hybrid"), ("text", "text"), ("behavior", "behavior"), ("index", "index"), ("hybrid", "text")],
)
def test_parts_cover_an_items_separator_text_and_slot_and_no_wording(
    history: str, candidates: str, kind: str, make_encoder: MakeEncoder
) -> None:
    encoder = make_encoder(PromptConfig(history=history, candidates=candidates), tokenizer=kind)  # type: ignore[arg-type]
    text_of = tokenize_titles(encoder.tokenizer, encoder.item_texts[1:], max_tokens=32)
    separator = len(encoder.tokenizer("\n", add_special_tokens=False)["input_ids"])

    def length(item: int, shown: str) -> int:
        number = list(make_encoder(PromptConfig(candidates="index"), tokenizer=kind).answer_tokens(item)[:-1])
        text = {"behavior": [], "index": number}.get(shown, list(text_of[item - 1]))
        return separator + len(text) + (shown in ("hybrid", "behavior"))

    for template in range(3):
        encoded = encoder.encode(encoder.build(HISTORY, CANDIDATES, template=template))
        runs = [(part, len(list(run))) for part, run in groupby(encoded.parts)]
        assert [part for part, _ in runs] == [0, 1, 0, 2, 0]
        assert len(encoded.parts) == len(encoded.token_ids)
        assert runs[1][1] == sum(length(item, history) for item in HISTORY)
        assert runs[3][1] == sum(length(item, candidates) for item in CANDIDATES)
        assert encoded.history_items == HISTORY
        # Slots and candidate positions lie within, and the last of each kind ends its run.
        in_history = len(HISTORY) * (history in ("hybrid", "behavior"))
        slots = [encoded.parts[position] for position in encoded.slot_positions]
        assert slots == [1] * in_history + [2] * (len(slots) - in_history)
        assert {encoded.parts[position] for position in encoded.candidate_positions} == {2}
        assert encoded.candidate_positions[-1] == sum(size for _, size in runs[:4]) - 1
        if in_history:
            assert encoded.slot_positions[in_history - 1] == runs[0][1] + runs[1][1] - 1


def test_what_an_items_text_says_about_it_is_its_metadata_or_else_its_title(make_encoder: MakeEncoder) -> None:
    encoder = make_encoder(PromptConfig(item_text="{title} ({genres})"))
    assert encoder.num_items == 24
    said = [str(encoder.tokenizer.decode(list(encoder.subject_tokens(item)))) for item in (1, 2, 3)]
    assert said == [" Alien", " (Horror)", " (Horror)"]  # the first has no genre
    assert make_encoder().subject_tokens(9) == make_encoder().answer_tokens(9)[:-1]
    cut = make_encoder(PromptConfig(item_text="{title} ({genres})", max_title_tokens=1))
    assert len(cut.subject_tokens(9)) == 1  # no metadata is left after a title as long as the limit
