"""Practice: rows from the catalog's text, and a model that learns to compare items on them."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from transformers import PreTrainedTokenizerFast

from llara.data import Catalog, Examples
from llara.errors import ConfigError
from llara.model import BackboneConfig, Llara, LlaraConfig, NanoConfig
from llara.prompt import PromptConfig, PromptEncoder, collate
from llara.recommender import SASRec
from llara.train import ObjectiveConfig, Phase, PracticeConfig, StepRecord, listwise_losses, practise
from llara.train.practice import practice_examples, text_vectors

LISTWISE = ObjectiveConfig(name="listwise")
SERIES = ("Dune", "Rocky", "Alien", "Psycho", "Jaws", "Heat", "Fargo", "Brazil")
SERIAL_TITLES = [f"{name} {10 + 6 * place + part}" for place, name in enumerate(SERIES) for part in range(6)]
"""Eight series of six: an item is like the others of its series, and only like them."""
PAIRS = (Phase(share=1.0, history=1, candidates=2),)
"""One item in the history, and two candidates: what is learned in seconds."""


def catalog_of(titles: Sequence[str]) -> Catalog:
    return Catalog(
        item_ids=(-1, *range(1, len(titles) + 1)), titles=("", *titles), noun="movie", metadata=pl.DataFrame()
    )


def nano(titles: Sequence[str], *, width: int = 32) -> Llara:
    """A new model, fully tuned, with a vocabulary that has every word of the titles."""
    catalog = catalog_of(titles)
    backbone = BackboneConfig(
        tuning="full",
        precision="float32",
        nano=NanoConfig(hidden_size=width, num_layers=2, num_heads=4, vocabulary=900),
    )
    recommender = SASRec(catalog.num_items, width=16, seed=3)
    prompt = PromptConfig(templates=("{history}{candidates}",))
    return Llara.from_backbone(backbone, recommender, catalog, config=LlaraConfig(prompt=prompt, part_vectors=True))


@pytest.fixture(scope="module")
def serial_encoder() -> PromptEncoder:
    return nano(SERIAL_TITLES).encoder


@pytest.fixture(scope="module")
def serial_vectors(serial_encoder: PromptEncoder) -> sparse.csr_array:
    return text_vectors(serial_encoder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": -1}, r"practice\.steps must be >= 0, got -1"),
        ({"batch_size": 0}, r"practice\.batch_size must be >= 1, got 0"),
        ({"learning_rate": 0.0}, r"practice\.learning_rate must be > 0, got 0\.0"),
        ({"nearest": 0}, r"practice\.nearest must be >= 1, got 0"),
        ({"phases": ()}, r"practice\.phases must hold at least one phase"),
    ],
)
def test_a_wrong_practice_setting_is_refused_by_its_key(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PracticeConfig(**changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"share": 0.0}, "share must be > 0, got 0.0"),
        ({"history": 0}, "history must be >= 1, got 0"),
        ({"candidates": 1}, "candidates must be >= 2, got 1"),
        ({"answer_weight": -0.1}, "answer_weight must be >= 0, got -0.1"),
        ({"enough": -0.5}, "enough must be >= 0, got -0.5"),
    ],
)
def test_a_phase_that_teaches_nothing_is_refused(changed: dict[str, float], message: str) -> None:
    settings = {"share": 0.5, "history": 2, "candidates": 4, **changed}
    with pytest.raises(ConfigError, match=rf"practice\.phases\.{message}"):
        Phase(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("training", "weight", "expected"),
    [
        (ObjectiveConfig(name="sum"), 0.2, ObjectiveConfig(name="sum", answer_weight=0.2)),
        (
            ObjectiveConfig(name="sum", answer_weight=3.0, listwise_weight=0.5),
            0.5,
            ObjectiveConfig(name="sum", answer_weight=1.5, listwise_weight=0.5),
        ),
        (ObjectiveConfig(name="sum"), 0.0, LISTWISE),
        (LISTWISE, 0.2, LISTWISE),
        (ObjectiveConfig(name="answer"), 0.0, ObjectiveConfig(name="answer")),
    ],
)
def test_a_phase_weighs_answers_where_there_are_two_losses(
    training: ObjectiveConfig, weight: float, expected: ObjectiveConfig
) -> None:
    assert Phase(share=1.0, history=1, candidates=2, answer_weight=weight).objective(training) == expected


@pytest.mark.parametrize(("weight", "learned"), [(0.0, False), (1.0, True)])
def test_a_phase_without_answer_weight_trains_the_listwise_head_alone(weight: float, learned: bool) -> None:
    records: list[StepRecord] = []
    phase = Phase(share=1.0, history=1, candidates=2, answer_weight=weight)
    config = PracticeConfig(steps=1, batch_size=16, phases=(phase,))
    practise(nano(SERIAL_TITLES), config, objective=ObjectiveConfig(name="sum"), seed=0, on_step=records.append)
    assert (records[0].loss > 1.5) == learned  # log(2) for a choice of two; the answer's tokens cost several nats


def test_a_phase_ends_when_it_is_good_enough_and_the_next_one_begins(caplog: pytest.LogCaptureFixture) -> None:
    records: list[StepRecord] = []
    easy = Phase(share=0.5, history=1, candidates=2, enough=100.0)
    config = PracticeConfig(steps=60, batch_size=2, phases=(easy, Phase(share=0.5, history=1, candidates=2)))
    with caplog.at_level("INFO", logger="llara.train.practice"):
        practise(nano(SERIAL_TITLES), config, objective=LISTWISE, seed=0, on_step=records.append)
    assert [record.step for record in records] == [*range(20), *range(30)]  # 20 steps make a mean to judge by
    assert "in 20 steps" in caplog.text


def test_without_being_asked_nothing_is_practised() -> None:
    assert PracticeConfig().steps == 0


def test_items_are_alike_by_the_tokens_that_some_but_not_all_share(
    serial_encoder: PromptEncoder, serial_vectors: sparse.csr_array
) -> None:
    similar = (serial_vectors @ serial_vectors.T).toarray()
    series = np.arange(len(SERIAL_TITLES)) // 6
    np.testing.assert_allclose(similar, series[:, None] == series, atol=1e-12)
    tokens = [set(serial_encoder.subject_tokens(item)) for item in range(1, len(SERIAL_TITLES) + 1)]
    assert serial_vectors.shape[1] == serial_encoder.largest_token + 1
    assert all(set(serial_vectors[[row]].nonzero()[1].tolist()) <= text for row, text in enumerate(tokens))


def test_rare_tokens_weigh_more_worked_by_hand() -> None:
    # " a" is in 2 of 4 items, " b" in 3, " c" and " d" in one only, and " e" twice in the same.
    vectors = text_vectors(nano(["a b", "a b c", "d b", "e e"]).encoder)
    rare, common = np.log(4 / 2), np.log(4 / 3)
    similar = (vectors @ vectors.T).toarray()
    cosine = common / np.hypot(rare, common)
    expected = [[1.0, 1.0, cosine, 0.0], [1.0, 1.0, cosine, 0.0], [cosine, cosine, 1.0, 0.0], [0.0] * 4]
    np.testing.assert_allclose(similar, expected, atol=1e-12)


def test_metadata_goes_before_titles_where_the_prompt_shows_it(
    tiny_catalog: Catalog, tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]
) -> None:
    # Alien, Aliens and Alien 3 share their name; Aliens and Alien 3 are horror, Alien has no genre.
    genres = PromptEncoder(tiny_tokenizer("nano"), tiny_catalog, PromptConfig(item_text="{title} ({genres})"))
    similar = (text_vectors(genres) @ text_vectors(genres).T).toarray()
    np.testing.assert_allclose(similar[1, [2, 4, 5, 7]], 1.0)
    assert similar[1, 3] == 0.0  # Dune has no genre either


@pytest.fixture(scope="module")
def serial_rows(serial_vectors: sparse.csr_array) -> Examples:
    return practice_examples(serial_vectors, count=1500, history_length=4, seed=0)


def test_a_target_shares_a_token_with_the_last_item_and_is_not_in_the_history(
    serial_rows: Examples, serial_encoder: PromptEncoder
) -> None:
    assert 1000 < len(serial_rows) <= 1500
    assert serial_rows.user_index.tolist() == list(range(len(serial_rows)))
    for history, target in zip(serial_rows.histories(), serial_rows.target.tolist(), strict=True):
        assert target not in history
        assert set(serial_encoder.subject_tokens(history[-1])) & set(serial_encoder.subject_tokens(target))


def test_a_target_is_one_of_the_five_unseen_items_that_are_most_alike() -> None:
    drawn = np.random.default_rng(5).random((40, 6))
    vectors = sparse.csr_array(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    rows = practice_examples(vectors, count=600, history_length=8, seed=2)  # more than are compared at once
    similar, ranks = (vectors @ vectors.T).toarray(), list[int]()
    assert len(rows) == 600
    for history, target in zip(rows.histories(), rows.target.tolist(), strict=True):
        unseen = [item for item in np.argsort(-similar[history[-1] - 1]) + 1 if item not in history]
        ranks.append(unseen.index(target))
    assert set(ranks) == {0, 1, 2, 3, 4}
    assert np.bincount(ranks).min() > 80  # each as likely


def test_targets_vary_over_the_nearest_items(serial_rows: Examples) -> None:
    of_last: dict[int, set[int]] = {}
    for history, target in zip(serial_rows.histories(), serial_rows.target.tolist(), strict=True):
        of_last.setdefault(history[-1], set()).add(target)
    assert len(of_last) == len(SERIAL_TITLES)
    assert min(len(targets) for targets in of_last.values()) >= 4


def test_practice_rows_are_seeded(serial_vectors: sparse.csr_array, serial_rows: Examples) -> None:
    again = practice_examples(serial_vectors, count=1500, history_length=4, seed=0)
    other = practice_examples(serial_vectors, count=1500, history_length=4, seed=1)
    assert np.array_equal(again.history, serial_rows.history)
    assert np.array_equal(again.target, serial_rows.target)
    assert not np.array_equal(other.history, serial_rows.history)


@given(num_items=st.integers(2, 130), data=st.data())
def test_histories_hold_distinct_items_of_the_catalog(num_items: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, num_items - 1))
    alike = sparse.csr_array(np.ones((num_items, 1)))
    rows = practice_examples(alike, count=12, history_length=length, seed=num_items)
    assert len(rows) == 12 or (len(rows) <= 12 and num_items - length < 5)
    assert rows.history.shape == (len(rows), length)
    assert rows.history_length.tolist() == [length] * len(rows)
    for history, target in zip(rows.histories(), rows.target.tolist(), strict=True):
        assert len({*history, target}) == length + 1
        assert {*history, target} <= set(range(1, num_items + 1))


def test_every_item_is_as_likely_at_every_place_of_a_history() -> None:
    rows = practice_examples(sparse.csr_array(np.ones((12, 1))), count=6000, history_length=4, seed=0)
    for column in rows.history.T:
        np.testing.assert_allclose(np.bincount(column, minlength=13)[1:], 500, atol=100)
    pairs = np.bincount(rows.history[:, 0] * 13 + rows.history[:, 3], minlength=169)
    assert (pairs > 0).sum() == 12 * 11
    assert pairs[pairs > 0].min() > 15  # 45 expected


def test_rows_whose_last_item_is_like_no_other_are_left_out() -> None:
    alike = sparse.csr_array(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))
    rows = practice_examples(alike, count=200, history_length=2, seed=0)
    assert 0 < len(rows) < 200
    pairs = set(zip(rows.history[:, -1].tolist(), rows.target.tolist(), strict=True))
    assert pairs == {(1, 2), (2, 1)}


def weights(llara: Llara) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in llara.state_dict().items()}


def changed(llara: Llara, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in llara.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    "titles",
    [["Dune"], ["Dune begins", "Dune ends"], ["aa", "bb", "cc", "dd", "ee", "ff"], ["Dune"] * 6],
    ids=["one item", "two items", "nothing shared", "nothing told apart"],
)
def test_catalogs_with_nothing_to_compare_are_skipped(titles: list[str], caplog: pytest.LogCaptureFixture) -> None:
    llara, records = nano(titles), list[StepRecord]()
    before = weights(llara)
    with caplog.at_level("INFO", logger="llara.train.practice"):
        practise(llara, PracticeConfig(steps=6, batch_size=2), objective=LISTWISE, seed=0, on_step=records.append)
    assert records == []
    assert changed(llara, before) == set()
    assert "practice phase 1 skipped" in caplog.text


@pytest.mark.parametrize("num_items", [3, 4, 7])
def test_phases_are_shortened_to_what_a_small_catalog_holds(num_items: int) -> None:
    titles = [f"{name} {part}" for name in ("Dune", "Heat") for part in ("one", "two", "six", "ten")][:num_items]
    llara, records = nano([*titles[:-1], "Alien"]), list[StepRecord]()
    practise(llara, PracticeConfig(steps=6, batch_size=16), objective=LISTWISE, seed=0, on_step=records.append)
    assert len(records) == 6
    assert all(np.isfinite(record.loss) for record in records)


def test_no_steps_change_nothing() -> None:
    llara = nano(SERIAL_TITLES)
    before = weights(llara)
    practise(llara, PracticeConfig(), objective=LISTWISE, seed=0)
    assert changed(llara, before) == set()


def fresh_loss(llara: Llara, rows: Examples, num_candidates: int) -> float:
    """Mean listwise loss of rows among their target and random items, text-only."""
    rng = np.random.default_rng(0)
    prompts, columns = [], []
    for history, target in zip(rows.histories(), rows.target.tolist(), strict=True):
        unseen = [item for item in range(1, llara.catalog.num_items + 1) if item not in (*history, target)]
        items = rng.permutation([target, *rng.choice(unseen, num_candidates - 1, replace=False)]).tolist()
        prompts.append(llara.encode_prompt(history, items))
        columns.append(items.index(target))
    batch = collate(prompts, hybrid=[False] * len(prompts), filler=llara.encoder.filler)
    with torch.inference_mode():
        output = llara.eval()(batch, answer=False)
        return float(listwise_losses(output, torch.tensor(columns)).mean())


@pytest.fixture(scope="module")
def practised() -> Callable[[int], tuple[Llara, Llara, list[StepRecord]]]:
    """A fresh model, and another of the same start after short practice with the given seed, with its steps."""

    def make(seed: int, steps: int = 4) -> tuple[Llara, Llara, list[StepRecord]]:
        records: list[StepRecord] = []
        llara = nano(SERIAL_TITLES)
        config = PracticeConfig(steps=steps, batch_size=16, phases=PAIRS)
        practise(llara, config, objective=LISTWISE, seed=seed, on_step=records.append)
        return nano(SERIAL_TITLES), llara, records

    return make


def test_practice_is_deterministic_by_seed(
    practised: Callable[[int], tuple[Llara, Llara, list[StepRecord]]],
) -> None:
    (_, first, records), (_, again, _), (_, other, _) = (practised(seed) for seed in (0, 0, 1))
    assert [record.hybrid_realized for record in records] == [0.0] * 4  # text-only
    assert changed(again, weights(first)) == set()
    assert changed(other, weights(first)) != set()


def test_practice_leaves_the_recommender_alone_and_teaches_the_rest(
    practised: Callable[[int], tuple[Llara, Llara, list[StepRecord]]],
) -> None:
    fresh, llara, _ = practised(0)
    names = changed(llara, weights(fresh))
    assert not any(name.startswith("recommender.") for name in names)
    assert torch.equal(llara.item_table, fresh.item_table)
    assert {"head.weight", "part_vectors", "placeholder", "model.model.embed_tokens.weight"} <= names
    assert set(llara.trainable()) == set(fresh.trainable())


def test_practice_teaches_to_compare_items() -> None:
    llara = nano(SERIAL_TITLES, width=64)
    rows = practice_examples(text_vectors(llara.encoder), count=200, history_length=1, seed=77)
    before = fresh_loss(llara, rows, 2)
    config = PracticeConfig(steps=100, batch_size=32, learning_rate=5e-3, phases=PAIRS)
    practise(llara, config, objective=LISTWISE, seed=0)
    assert before > 0.6  # log(2): it knows nothing yet
    assert fresh_loss(llara, rows, 2) < 0.35
