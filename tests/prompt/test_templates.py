"""Templates: wording, fields, true counts."""

import pytest

from llara.errors import ConfigError, PromptError
from llara.prompt import (
    NOUNS,
    HybridPrompt,
    ItemPart,
    PromptConfig,
    Template,
    build_prompt,
    render_prompt,
    templates_for,
)


def _wording(prompt: HybridPrompt) -> str:
    return "".join(part for part in prompt.parts if isinstance(part, str))


def test_the_nouns_of_the_issue_have_wordings() -> None:
    assert set(NOUNS) >= {"movie", "game", "artist", "book", "item"}


@pytest.mark.parametrize("noun", NOUNS)
def test_each_noun_has_three_distinct_templates_that_speak_of_it(noun: str) -> None:
    templates = templates_for(noun)
    assert len(templates) >= 3
    assert len({template.text for template in templates}) == len(templates)
    assert len({template.name for template in templates}) == len(templates)
    for template in templates:
        assert noun in template.text
        assert "{noun}" not in template.text
        assert "{num_candidates}" in template.text


def test_a_noun_without_wording_gets_that_of_items() -> None:
    assert templates_for("recipe") == templates_for("item")


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize(("num_history", "num_candidates"), [(1, 2), (10, 20), (7, 50)])
def test_prompts_state_the_true_counts(noun: str, num_history: int, num_candidates: int) -> None:
    # The released code says 10 and lists 20 (FACTS.md 4.6).
    for template in templates_for(noun):
        prompt = build_prompt(template, range(1, num_history + 1), range(100, 100 + num_candidates))
        numbers = sorted(int(word) for word in _wording(prompt).replace(",", " ").replace(")", " ").replace("(", " ")
                         .replace(":", " ").split() if word.isdigit())  # fmt: skip
        assert numbers == sorted([num_history, num_candidates])
        assert len(prompt.candidates) == num_candidates


def test_a_prompt_worked_by_hand() -> None:
    template = Template(name="own", text="Seen {num_history}:{history}\nOf {num_candidates}:{candidates}\nNext:")
    prompt = build_prompt(template, [5, 3], [9, 2, 7])
    assert prompt.parts == (
        "Seen 2:",
        ItemPart(5, is_candidate=False),
        ItemPart(3, is_candidate=False),
        "\nOf 3:",
        ItemPart(9, is_candidate=True),
        ItemPart(2, is_candidate=True),
        ItemPart(7, is_candidate=True),
        "\nNext:",
    )
    assert prompt.candidates == (9, 2, 7)
    assert render_prompt(prompt, lambda index: f"Item {index}") == (
        "Seen 2:\n Item 5 ◆\n Item 3 ◆\nOf 3:\n Item 9 ◆\n Item 2 ◆\n Item 7 ◆\nNext:"
    )
    assert "◆" not in render_prompt(prompt, lambda index: f"Item {index}", slot_mark="")


def test_candidates_may_come_before_the_history() -> None:
    template = Template(name="own", text="{candidates}\nafter{history}\n:")
    prompt = build_prompt(template, [1], [2, 3])
    assert [part.item_index for part in prompt.parts if isinstance(part, ItemPart)] == [2, 3, 1]


def test_own_templates_come_from_the_config() -> None:
    text = "I saw{history}\nPick from{candidates}\nI pick"
    templates = PromptConfig(templates=(text, text + " now")).build_templates("movie")
    assert [template.text for template in templates] == [text, text + " now"]
    assert [template.name for template in templates] == ["own-1", "own-2"]
    assert PromptConfig().build_templates("movie") == templates_for("movie")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{history}{candidates}{title}:", r"unknown field \{title\}; known: history"),
        ("{history}:", r"expected \{candidates\} once, found 0"),
        ("{candidates}:", r"expected \{history\} once, found 0"),
        ("{history}{history}{candidates}:", r"expected \{history\} once, found 2"),
        ("{history}{candidates}: ", "ends with white space"),
    ],
)
def test_malformed_templates_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptConfig(templates=(text,)).build_templates("movie")


@pytest.mark.parametrize(
    ("history", "candidates", "message"),
    [
        ([], [1], "history is empty"),
        ([1], [], "candidates is empty"),
        ([0, 1], [2], "history holds padding"),
        ([1], [2, 0], "candidates holds padding"),
    ],
)
def test_prompts_without_items_or_with_padding_are_refused(
    history: list[int], candidates: list[int], message: str
) -> None:
    with pytest.raises(PromptError, match=f"template 'movie-1': {message}"):
        build_prompt(templates_for("movie")[0], history, candidates)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"history": "picture"}, "prompt.history must be one of hybrid, text, behavior, index, got 'picture'"),
        ({"candidates": ""}, "prompt.candidates must be one of"),
        ({"max_title_tokens": 0}, "prompt.max_title_tokens must be >= 1, got 0"),
        ({"chat_template": "yes"}, "prompt.chat_template must be one of auto, always, never"),
    ],
)
def test_prompt_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptConfig(**settings)  # type: ignore[arg-type]
