from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import llara as package
from llara.data import (
    CandidateConfig,
    CandidateSet,
    Catalog,
    Dataset,
    DatasetInfo,
    InteractionLog,
    Sequences,
    Split,
    SplitConfig,
    prefix_examples,
    split_users,
)
from llara.errors import ConfigError, DataError
from llara.evaluate import (
    EvaluateConfig,
    LlaraScorer,
    RankingTask,
    build_task,
    calibrate_prior,
    calibrated_hit_ratio,
    compare_results,
    fit_prior_weights,
    judge,
    judge_generation,
    judge_without_recommender,
    model_name,
    paired_test,
)
from llara.evaluate.judging import score_draws
from llara.model import BackboneConfig, Llara, NanoConfig, SequenceConfig, score_candidates
from llara.model.weighing import by_itself, is_silent, weigh
from llara.recommender import Popularity, RecommenderScorer, SASRec

if TYPE_CHECKING:
    from llara.evaluate import Part
    from llara.model import ScorerName

NUM_USERS, PER_USER, NUM_ITEMS, DRAWS = 200, 4, 24, 3
CONFIG = CandidateConfig(num_negatives=4, draws=DRAWS, seed=3)


@pytest.fixture(scope="module")
def dataset(tiny_catalog: Catalog) -> Dataset:
    """200 users with 4 items each; of two unseen items the popular one is drawn more often (weight 1 / rank)."""
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, NUM_ITEMS + 1)
    users = [
        rng.choice(np.arange(1, NUM_ITEMS + 1), size=PER_USER, replace=False, p=weights / weights.sum())
        for _ in range(NUM_USERS)
    ]
    sequences = Sequences.from_lists([user.tolist() for user in users])
    log = InteractionLog(sequences, np.arange(PER_USER * NUM_USERS), tuple(f"u{user}" for user in range(NUM_USERS)))
    info = DatasetInfo("toy", "movie", NUM_USERS, NUM_ITEMS, PER_USER * NUM_USERS, "", "", {})
    return Dataset(info, tiny_catalog, log)


@pytest.fixture(scope="module")
def split(dataset: Dataset) -> Split:
    return split_users(dataset.log, SplitConfig(train_until=0.5, validation_until=0.9))


@pytest.fixture(scope="module")
def llara(dataset: Dataset) -> Llara:
    """A random one-layer model with random listwise head."""
    nano = NanoConfig(hidden_size=32, num_layers=1, num_heads=2, vocabulary=400)
    recommender = SASRec(NUM_ITEMS, width=16, seed=0)
    return Llara.from_backbone(BackboneConfig(tuning="frozen", nano=nano), recommender, dataset.catalog).eval()


@pytest.fixture(scope="module")
def task(dataset: Dataset, split: Split) -> RankingTask:
    return build_task(dataset, split, "test", CONFIG, draws=DRAWS)


def test_task_is_a_function_of_data_seed_and_draw(dataset: Dataset, split: Split, task: RankingTask) -> None:
    assert build_task(dataset, split, "test", CONFIG, draws=DRAWS).hashes == task.hashes
    assert build_task(dataset, split, "test", CONFIG, draws=1).hashes == task.hashes[:1]
    assert task.first_draws(2).hashes == task.hashes[:2]
    other = CandidateConfig(num_negatives=4, draws=DRAWS, seed=4)
    assert not set(build_task(dataset, split, "test", other, draws=DRAWS).hashes) & set(task.hashes)


def test_parts_and_draws_have_streams_of_their_own(dataset: Dataset, split: Split, task: RankingTask) -> None:
    assert len(set(task.hashes)) == DRAWS
    as_validation = build_task(dataset, split, "validation", CONFIG, draws=DRAWS, examples=split.test)
    assert not set(as_validation.hashes) & set(task.hashes)
    assert (as_validation.target_columns != task.target_columns).any()


def test_task_names_users_and_items_by_the_sources_ids(dataset: Dataset, split: Split, task: RankingTask) -> None:
    assert task.candidate_items.shape == (DRAWS, len(split.test), 5)
    assert list(task.user_ids) == [dataset.log.user_ids[user] for user in split.test.user_index]
    assert task.item_ids[1] == 101
    targets = np.take_along_axis(task.candidate_items, task.target_columns[:, :, None], axis=2)[:, :, 0]
    assert (targets == split.test.target).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), part=st.sampled_from(["validation", "test"]))
def test_candidates_hold_the_target_once_and_nothing_of_the_history(
    dataset: Dataset, split: Split, seed: int, part: "Part"
) -> None:
    drawn = build_task(dataset, split, part, CandidateConfig(num_negatives=4, seed=seed), draws=1)
    for row, history in enumerate(drawn.examples.histories()):
        items = drawn.candidate_items[0, row].tolist()
        assert len(set(items)) == 5
        assert items.count(int(drawn.examples.target[row])) == 1
        assert not set(items) & set(history)


def test_other_rows_of_a_part_can_be_judged(dataset: Dataset, split: Split) -> None:
    rows = prefix_examples(dataset.log.sequences, history_length=10, min_history=3)
    task = build_task(dataset, split, "validation", CONFIG, draws=1, examples=rows)
    assert len(task.examples) == len(rows) > len(split.validation)


def test_dense_rows_are_judged_by_user_whoever_answers(dataset: Dataset, split: Split, llara: Llara) -> None:
    """Rows of one user resemble each other: taken as independent they would make every interval too narrow."""
    rows = prefix_examples(dataset.log.sequences, history_length=10, min_history=1)
    task = build_task(dataset, split, "test", CONFIG, draws=2, examples=rows.select(np.arange(90)))
    users = len(set(task.user_ids))
    assert users < len(task.examples) == 90
    judged = [
        judge(
            RecommenderScorer(Popularity.from_sequences(split.train_sequences, num_items=NUM_ITEMS)),
            task,
            name="popularity",
        ),
        judge(LlaraScorer(llara, "listwise", batch_size=32), task, name="ours"),
        judge_generation("free", llara, task.first_draws(2), batch_size=32),
    ]
    report = compare_results([entry.result for entry in judged], baseline="popularity")
    assert [result.num_users for result in report.results] == [users] * 3
    interval, test = report.results[1].hit_interval(), report.comparisons["ours"]
    assert interval is not None
    assert test.interval is not None
    assert (interval.method, test.interval.method) == ("wilson over users", "t over users")
    by_rows = paired_test(report.result("ours").row_hits(), report.result("popularity").row_hits())
    assert test.p_value != by_rows.p_value


def test_popularity_beats_random_where_few_items_are_popular(dataset: Dataset, split: Split) -> None:
    task = build_task(dataset, split, "validation", CONFIG, draws=DRAWS)
    popularity = Popularity.from_sequences(split.train_sequences, num_items=NUM_ITEMS)
    knows_nothing = Popularity(torch.randperm(NUM_ITEMS + 1, generator=torch.Generator().manual_seed(1)))
    good, bad = (
        judge(RecommenderScorer(popularity), task, name="popularity"),
        judge(RecommenderScorer(knows_nothing), task, name="random"),
    )
    assert good.result.candidate_hashes == bad.result.candidate_hashes == task.hashes
    assert good.result.mrr is not None
    assert bad.result.mrr is not None
    assert good.result.mrr > bad.result.mrr + 0.1


@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_judging_draws_equals_scoring_each_directly(llara: Llara, task: RankingTask, scorer: "ScorerName") -> None:
    judged = judge(LlaraScorer(llara, scorer, batch_size=4), task, name="ours")
    ids = llara.catalog.item_ids
    histories = [[ids[item] for item in history] for history in task.examples.histories()]
    for number, draw in enumerate(task.draws):
        candidates = [[ids[item] for item in row] for row in draw.items]
        scores = llara.score(histories, candidates, scorer=scorer)
        assert judged.predictions.scores is not None
        np.testing.assert_allclose(judged.predictions.scores[number], scores, rtol=2e-5, atol=1e-4)
        best = np.argmax(scores, axis=1) == draw.target_column
        assert ((judged.result.ranks[number] == 1) == best).all()
    assert judged.result.candidate_hashes == task.hashes


@pytest.mark.parametrize("rows_at_once", [7, 100])
def test_many_draws_are_scored_as_each_alone(
    rows_at_once: int, llara: Llara, dataset: Dataset, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llara.evaluate.judging._ROWS_AT_ONCE", rows_at_once)
    many = build_task(dataset, split, "test", CONFIG, draws=9)
    found = score_draws(LlaraScorer(llara, "answer", batch_size=4), many)
    for number, draw in enumerate(many.draws):
        alone = score_candidates(llara, many.examples.histories(), draw.items.tolist(), scorer="answer")
        np.testing.assert_allclose(found[number], alone, rtol=1e-6, atol=1e-4)


def test_hits_after_calibration_are_known_before_it(llara: Llara, dataset: Dataset, split: Split) -> None:
    config = replace(llara.config, recommender_prior=True)
    model = Llara.from_backbone(config.backbone, llara.recommender, dataset.catalog, config=config).eval()
    task = build_task(dataset, split, "validation", CONFIG, draws=DRAWS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    foreseen = calibrated_hit_ratio(model, task, batch_size=8)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    uncalibrated = judge(LlaraScorer(model, "listwise", batch_size=8), task, name="x").result.hr(1)
    calibrate_prior(model, task, batch_size=8)
    assert judge(LlaraScorer(model, "listwise", batch_size=8), task, name="x").result.hr(1) == pytest.approx(foreseen)
    assert foreseen != pytest.approx(uncalibrated)


def test_a_head_is_judged_by_itself_without_another_pass(llara: Llara, dataset: Dataset, split: Split) -> None:
    config = replace(llara.config, recommender_prior=True)
    model = Llara.from_backbone(config.backbone, llara.recommender, dataset.catalog, config=config).eval()
    task = build_task(dataset, split, "test", CONFIG, draws=DRAWS)
    with torch.no_grad():
        model.prior_weight.fill_(0.7)
    whole = judge(LlaraScorer(model, "listwise", batch_size=8), task)
    found = judge_without_recommender(whole, model, "listwise", task)
    assert found is not None
    assert found.result.name == "hybrid LLaRA (listwise without sasrec)"
    with torch.no_grad():
        model.prior_weight.zero_()
    expected = judge(LlaraScorer(model, "listwise", batch_size=8), task)
    assert found.predictions.scores == pytest.approx(expected.predictions.scores, abs=1e-4)
    assert (found.result.ranks == expected.result.ranks).mean() > 0.99
    assert judge_without_recommender(whole, llara, "listwise", task) is None, "there is no prior in it"
    with torch.no_grad():
        model.head.weight.zero_()
    assert judge_without_recommender(whole, model, "listwise", task) is None, "there is nothing else in it"


def test_calibration_sees_the_head_without_the_recommender(llara: Llara, dataset: Dataset, split: Split) -> None:
    """With the prior left in the head's scores it would be counted twice."""
    config = replace(llara.config, recommender_prior=True)
    popularity = Popularity.from_sequences(split.train_sequences, num_items=NUM_ITEMS)
    model = Llara.from_backbone(config.backbone, popularity, dataset.catalog, config=config).eval()
    task = build_task(dataset, split, "validation", CONFIG, draws=DRAWS)
    columns = task.target_columns.ravel()
    with torch.no_grad():
        model.prior_weight.fill_(3.0)
        if fit_prior_weights(*head_and_prior(model, task), columns, learned=3.0).head == 0:
            model.head.weight.neg_()  # a random head that misleads helps when it is turned around
    expected = fit_prior_weights(*head_and_prior(model, task), columns, learned=3.0)
    assert min(expected.head, expected.prior) > 0.1
    found = calibrate_prior(model, task, batch_size=8)
    assert [found.head, found.prior] == pytest.approx([expected.head, expected.prior], rel=1e-2)
    assert float(model.prior_weight.detach()) == pytest.approx(found.prior)


def head_and_prior(model: Llara, task: RankingTask) -> tuple[np.ndarray, np.ndarray]:
    """Listwise scores less the recommender's log-probabilities, and these, [draws * N, C]."""
    history = torch.from_numpy(task.examples.history).to(model.device)
    priors = [
        model.recommender.score(history, torch.from_numpy(draw.items).to(model.device)).double().log_softmax(dim=1)
        for draw in task.draws
    ]
    prior = torch.stack(priors).detach().cpu().numpy()
    whole = score_draws(LlaraScorer(model, "listwise", batch_size=8), task)
    head = whole - float(model.prior_weight.detach()) * prior
    return head.reshape(-1, 5), prior.reshape(-1, 5)


def test_progress_counts_every_row_of_every_draw(llara: Llara, task: RankingTask) -> None:
    counted: list[int] = []
    judge(LlaraScorer(llara, "listwise", batch_size=4), task, name="ours", on_progress=counted.append)
    assert sum(counted) == DRAWS * len(task.examples)


def test_answers_of_an_untaught_model_are_invalid_and_count_as_misses(llara: Llara, task: RankingTask) -> None:
    judged = judge_generation("free", llara, task.first_draws(1), batch_size=8)
    result = judged.result
    assert result.valid is not None
    assert not result.valid.all()
    assert (result.ranks[~result.valid] == 5).all()
    assert (result.hits, result.total) == (int((result.ranks == 1).sum()), len(task.examples))
    assert result.task == "free generation"
    assert judged.predictions.answers is not None
    chosen = judged.predictions.chosen_ids[0]
    assert [item is not None for item in chosen] == result.valid[0].tolist()


def test_evaluate_model_gives_the_same_numbers_as_judging(llara: Llara, split: Split, task: RankingTask) -> None:
    recommender = llara.recommender
    report = package.evaluate_model(llara, split.test, task.draws, scorer="listwise", baseline=recommender)
    assert [result.name for result in report.results] == ["sasrec", "hybrid LLaRA (listwise)"]
    assert report.baseline == "sasrec"
    direct = judge(LlaraScorer(llara, "listwise", batch_size=16), task, name="x").result
    assert (report.results[1].ranks == direct.ranks).all()
    assert [sliced.slicing.key for sliced in report.slices] == ["history_length"]
    alone = package.evaluate_model(llara, split.test, task.draws[:1], train_sequences=split.train_sequences)
    assert [sliced.slicing.key for sliced in alone.slices] == ["target_count", "history_length"]
    assert [result.name for result in alone.results] == [model_name(llara, llara.default_scorer)]
    assert alone.baseline is None


def test_evaluate_model_refuses_draws_of_other_rows(llara: Llara, split: Split, task: RankingTask) -> None:
    short = CandidateSet(task.draws[0].items[:2], task.draws[0].target_column[:2])
    with pytest.raises(DataError, match="candidate draw 1 has 2 rows, the examples have 20"):
        package.evaluate_model(llara, split.test, [task.draws[0], short])
    with pytest.raises(DataError, match="found 20 rows and 0 draws"):
        package.evaluate_model(llara, split.test, [])
    empty = split.test.select(np.zeros(0, dtype=np.int64))
    with pytest.raises(DataError, match="found 0 rows"):
        package.evaluate_model(llara, empty, task.draws)


def test_names_tell_prompt_kind_and_scorer(llara: Llara) -> None:
    assert model_name(llara, "answer") == "hybrid LLaRA (answer)"
    llara.uses_behavior = False
    try:
        assert model_name(llara, "listwise") == "text-only LLaRA (listwise)"
    finally:
        llara.uses_behavior = True


@pytest.mark.parametrize("name", ["validation_limit", "validation_draws", "batch_size"])
def test_evaluate_settings_below_one_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"evaluate\.{name} must be >= 1, got 0"):
        EvaluateConfig(**{name: 0})  # type: ignore[arg-type]


def test_a_head_without_weight_is_named_for_what_it_is(llara: Llara, dataset: Dataset, split: Split) -> None:
    """Calibration may leave the listwise score to the recommender alone; its ranking is then no LLaRA's."""
    config = replace(llara.config, recommender_prior=True)
    recommender = SASRec(NUM_ITEMS, width=16, seed=0)
    model = Llara.from_backbone(config.backbone, recommender, dataset.catalog, config=config).eval()
    assert model_name(model, "listwise") == "hybrid LLaRA (listwise)"
    with torch.no_grad():
        model.head.weight.zero_()
    assert model_name(model, "listwise") == "hybrid LLaRA (listwise; its weight is 0: this is sasrec)"
    assert model_name(model, "answer") == "hybrid LLaRA (answer)"
    task = build_task(dataset, split, "validation", CONFIG, draws=1)
    ours, theirs = judge(LlaraScorer(model, "listwise"), task), judge(RecommenderScorer(recommender), task)
    assert (ours.result.ranks == theirs.result.ranks).all()


@pytest.mark.parametrize("way", ["listwise", "sequence"])
def test_a_silent_head_says_nothing_and_is_still_judged_by_itself(
    way: "ScorerName", llara: Llara, dataset: Dataset, split: Split, tmp_path: Path
) -> None:
    config = replace(llara.config, recommender_prior=True, sequence=SequenceConfig(head=True))
    model = Llara.from_backbone(config.backbone, SASRec(NUM_ITEMS, width=16, seed=0), dataset.catalog, config=config)
    model.eval()
    task = build_task(dataset, split, "validation", CONFIG, draws=2)
    weigh(model, way, head=2.0, prior=1.0)
    with by_itself(model, way):
        alone = score_draws(LlaraScorer(model, way), task)
    weigh(model, way, head=0.0, prior=0.5)
    assert is_silent(model, way)
    recommender = score_draws(RecommenderScorer(model.recommender), task)
    silent = score_draws(LlaraScorer(model, way), task)
    differences = silent - silent.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(differences, 0.5 * (recommender - recommender.mean(axis=2, keepdims=True)), atol=1e-5)
    model.save_pretrained(tmp_path / way)
    again = Llara.from_pretrained(tmp_path / way)
    assert is_silent(again, way)
    found = judge_without_recommender(judge(LlaraScorer(again, way), task), again, way, task)
    assert found is not None
    assert found.result.name == f"hybrid LLaRA ({way} without sasrec)"
    assert found.predictions.scores is not None
    np.testing.assert_allclose(found.predictions.scores, alone, atol=1e-5)
    assert is_silent(again, way)
    weigh(again, way, head=1.0, prior=0.5)
    assert not is_silent(again, way)
