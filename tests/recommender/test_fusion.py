"""Counts, texts and their fusion: what they count, what weights find, and what survives a save."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from llara.data import Examples, Sequences
from llara.data.examples import prefix_examples
from llara.errors import CheckpointError, ConfigError
from llara.recommender import (
    Counts,
    CountsConfig,
    Ease,
    EaseConfig,
    FitConfig,
    FoldRecommenders,
    Fusion,
    FusionConfig,
    Popularity,
    Recommender,
    RecommenderConfig,
    SASRec,
    SASRecConfig,
    TextConfig,
    TextSASRec,
    TextSimilarity,
    build_recommender,
    fit_recommender,
    load_recommender,
    save_recommender,
)
from llara.recommender.base import prefixes
from llara.recommender.text import whitened
from llara.recommender.text_encoder import encode_texts, encoded_width
from tests.recommender.tiny_encoder import encoder_folder

NUM_ITEMS = 24


def walks(num_users: int, *, seed: int, items: Sequence[int] = range(1, NUM_ITEMS + 1)) -> Sequences:
    """Each user walks round some items from a random start."""
    starts = np.random.default_rng(seed).integers(0, len(items), num_users)
    return Sequences.from_lists([[items[(start + step) % len(items)] for step in range(7)] for start in starts])


def rows(sequences: Sequences) -> Examples:
    return prefix_examples(sequences, history_length=5, min_history=1)


def hits(recommender: Recommender, examples: Examples) -> float:
    best = recommender.score_all(torch.from_numpy(examples.history)).argmax(dim=1)
    return float((best.numpy() == examples.target).mean())


def ring_of_texts(items: int = NUM_ITEMS) -> Tensor:
    """Texts on a circle: the nearest to a text are its neighbors."""
    angle = torch.arange(items) * (2 * torch.pi / items)
    return torch.cat([torch.zeros(1, 2), torch.stack([angle.cos(), angle.sin()], dim=1)])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=5), st.integers(1, 4))
def test_counts_are_a_mixture_of_what_followed_and_popularity(log: list[list[int]], window: int) -> None:
    config = CountsConfig(window=window, decay=0.5, smoothing=0.25)
    counts = Counts(9, config)
    counts.count(Sequences.from_lists(log))
    followed = np.zeros((10, 10))
    chosen = np.array([0.0, *[1.0 + sum(row.count(item) for row in log) for item in range(1, 10)]])
    for row in log:
        for place, item in enumerate(row):
            for distance, later in enumerate(row[place + 1 : place + 1 + window], start=1):
                followed[item, later] += distance**-0.5
    history = [3, 1, 4]
    weights = np.array([0.25, 0.5, 1.0]) / 1.75
    expected = 0.25 * chosen / chosen.sum()
    for item, weight in zip(history, weights, strict=True):
        if followed[item].sum():
            expected = expected + 0.75 * weight * followed[item] / followed[item].sum()
    found = counts.score_all(torch.tensor([[*history, 0, 0]]))[0].exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_counts_know_what_comes_after_not_what_came_before() -> None:
    counts = Counts(NUM_ITEMS, CountsConfig(window=1))
    counts.count(walks(50, seed=0))
    assert hits(counts, rows(walks(20, seed=1))) == 1.0


def test_counts_are_made_anew_each_time() -> None:
    once, twice = Counts(NUM_ITEMS), Counts(NUM_ITEMS)
    once.count(walks(5, seed=0))
    twice.count(walks(9, seed=3))
    twice.count(walks(5, seed=0))
    assert torch.equal(once.share, twice.share)
    assert torch.equal(once.popularity, twice.popularity)


def test_text_similarity_prefers_what_reads_like_the_latest_items() -> None:
    text = TextSimilarity(ring_of_texts(), decay=0.1)
    scores = text.score_all(torch.tensor([[12, 1, 0]]))[0, 1:]
    assert set((scores.topk(3).indices + 1).tolist()) == {1, 2, NUM_ITEMS}
    alike = TextSimilarity(ring_of_texts(), decay=1.0)
    assert torch.allclose(alike.encode(torch.tensor([[5, 1]])), alike.encode(torch.tensor([[1, 5]])))


def test_sharp_similarity_goes_by_the_nearest_of_the_history() -> None:
    """Between the mean of the cosines and the greatest one; later items weigh more."""
    texts = ring_of_texts()
    history = torch.tensor([[1, 12, 0]])
    mean, sharp, sharpest = (TextSimilarity(texts, decay=1.0, sharpness=s) for s in (1e-4, 10.0, 1e4))
    table = torch.nn.functional.normalize(texts, dim=1)
    cosines = table[[1, 12]] @ table[1:].T
    torch.testing.assert_close(
        mean.score_all(history)[0, 1:] - math.log(2) / 1e-4, cosines.mean(dim=0), atol=5e-3, rtol=0
    )
    torch.testing.assert_close(sharpest.score_all(history)[0, 1:], cosines.max(dim=0).values, atol=1e-3, rtol=0)
    by_hand = (10 * cosines).exp().sum(dim=0).log() / 10
    torch.testing.assert_close(sharp.score_all(history)[0, 1:], by_hand)
    late = TextSimilarity(texts, decay=0.1, sharpness=10.0)
    swapped = late.score_all(torch.tensor([[12, 1, 0]]))[0]
    assert swapped[1] > swapped[12]
    assert late.score_all(history)[0, 12] > late.score_all(history)[0, 1]


def test_sharp_scores_of_a_large_catalog_are_those_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TextSimilarity(ring_of_texts(), decay=0.8, sharpness=10.0)
    history = torch.randint(1, NUM_ITEMS + 1, (7, 4), generator=torch.Generator().manual_seed(0))
    whole = text.score_all(history)
    monkeypatch.setattr("llara.recommender.text._COSINES", 3 * 4 * (NUM_ITEMS + 1))  # three rows at once
    assert torch.equal(text.score_all(history), whole)
    assert text.score_all(history[:0]).shape == (0, NUM_ITEMS + 1)


def test_whitening_pulls_in_what_all_texts_share() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(400, 6, generator=generator) * torch.tensor([9.0, 3.0, 1, 1, 1, 1]) + 20
    vectors[0] = 0
    plain, half, whole = (whitened(vectors, strength=strength) for strength in (0.0, 0.5, 1.0))
    assert plain is vectors
    for found in (half, whole):
        assert found[0].tolist() == [0.0] * 6
        torch.testing.assert_close(found[1:].norm(dim=1), torch.ones(399))

    def spread(table: torch.Tensor) -> float:
        deviations = torch.linalg.svdvals(table[1:] - table[1:].mean(dim=0))
        return float(deviations[0] / deviations[-1])

    assert spread(torch.nn.functional.normalize(vectors, dim=1)) > 2 * spread(half) > 2 * spread(whole)
    assert spread(whole) < 1.3
    assert torch.isfinite(whitened(torch.ones(5, 3), strength=0.5)).all()  # texts all alike


def test_sasrec_on_texts_alone_ranks_an_item_that_nobody_chose() -> None:
    known = [item for item in range(1, NUM_ITEMS + 1) if item % 6]
    texts = ring_of_texts()
    texts = torch.cat([texts, texts**2, texts**3], dim=1)
    fit = FitConfig(epochs=40, learning_rate=2e-2, patience=40)
    found = {}
    for ids in (False, True):
        recommender = TextSASRec(texts, SASRecConfig(max_length=8, dropout=0.0), ids=ids, width=16)
        fit_recommender(recommender, walks(60, seed=0, items=known), validation=rows(walks(10, seed=1)), config=fit)
        new = rows(Sequences.from_lists([[4, 5, 6], [10, 11, 12], [16, 17, 18]]))
        ranks = [
            (scores > scores[target]).sum()
            for scores, target in zip(recommender.score_all(torch.from_numpy(new.history)), new.target, strict=True)
            if target % 6 == 0
        ]
        found[ids] = float(np.mean([int(rank) for rank in ranks]))
    assert found[False] < NUM_ITEMS / 4


def fitted(members: list[Recommender], *, by_frequency: bool, log: Sequences, held_out: Examples) -> Fusion:
    fusion = Fusion(members, by_frequency=by_frequency)
    config = FitConfig(epochs=3, learning_rate=1e-2)
    fit_recommender(fusion, log, validation=held_out, config=config)
    return fusion


def test_a_member_that_knows_gets_the_weight_and_one_that_does_not_gets_none() -> None:
    noise = TextSimilarity(torch.randn(NUM_ITEMS + 1, 2, generator=torch.Generator().manual_seed(3)), decay=1.0)
    counts = Counts(NUM_ITEMS, CountsConfig(window=1))
    fusion = fitted([noise, counts], by_frequency=False, log=walks(50, seed=0), held_out=rows(walks(40, seed=1)))
    assert hits(fusion, rows(walks(20, seed=2))) == 1.0
    history = torch.from_numpy(rows(walks(20, seed=2)).history)
    spread = [
        float(weight * member.score_all(history)[:, 1:].std())
        for weight, member in zip(fusion.weights[:, 0].detach(), fusion.parts, strict=True)
    ]
    assert abs(spread[0]) < 0.1 * spread[1], spread


def test_weights_by_frequency_trust_texts_where_counts_have_nothing() -> None:
    """Of the items that training never saw, only the texts say anything: the others follow the counts."""
    often, never = list(range(1, 13)), list(range(13, NUM_ITEMS + 1))
    texts = torch.cat([torch.randn(13, 12, generator=torch.Generator().manual_seed(0)), torch.eye(12)])
    held_out = rows(Sequences.from_lists([*[[item, item] for item in never], *[[i, i % 12 + 1] for i in often]] * 5))
    members: list[Recommender] = [Counts(NUM_ITEMS, CountsConfig(window=1)), TextSimilarity(texts, decay=0.5)]
    fusion = fitted(members, by_frequency=True, log=walks(60, seed=0, items=often), held_out=held_out)
    of_text = fusion.weights[1]
    assert of_text[0] > 2 * abs(of_text[int(fusion.frequency_class[1])])
    assert int(fusion.frequency_class[20]) == 0
    assert hits(fusion, held_out) > 0.95


def test_without_frequencies_all_classes_weigh_alike() -> None:
    members: list[Recommender] = [Counts(NUM_ITEMS), TextSimilarity(ring_of_texts(), decay=0.5)]
    fusion = fitted(members, by_frequency=False, log=walks(30, seed=0), held_out=rows(walks(20, seed=1)))
    assert (fusion.weights == fusion.weights[:, :1]).all()
    assert (fusion.biases == 0).all()


def test_weights_make_held_out_rows_likelier_than_any_member_alone() -> None:
    held_out = rows(walks(40, seed=1))
    members: list[Recommender] = [
        SASRec(NUM_ITEMS, SASRecConfig(max_length=8), width=8), Counts(NUM_ITEMS),
        TextSimilarity(ring_of_texts(), decay=0.5),
    ]  # fmt: skip
    fusion = fitted(members, by_frequency=True, log=walks(50, seed=0), held_out=held_out)

    def nats(weights: Tensor) -> float:
        fusion.weights.data.copy_(weights)
        log_probs = fusion.score_all(torch.from_numpy(held_out.history)).log_softmax(dim=1)
        return -float(log_probs.gather(1, torch.from_numpy(held_out.target)[:, None]).detach().mean())

    best = fusion.weights.detach().clone()
    assert nats(best) < min(nats(torch.eye(3)[member][:, None].expand(3, 5)) for member in range(3))


@pytest.mark.parametrize("name", ["fusion", "counts", "ease", "text", "text-sasrec"])
def test_saved_is_loaded(name: str, tmp_path: Path) -> None:
    kinds: dict[str, Recommender] = {
        "counts": Counts(NUM_ITEMS, CountsConfig(window=3, decay=0.5)),
        "ease": Ease(NUM_ITEMS, EaseConfig(l2=3.0, kept=7, decay=0.5)),
        "text": TextSimilarity(ring_of_texts(), decay=0.3),
        "text-sasrec": TextSASRec(ring_of_texts(), SASRecConfig(max_length=8), ids=True, width=8),
        "fusion": Fusion([SASRec(NUM_ITEMS, width=8), Counts(NUM_ITEMS)], by_frequency=True),
    }
    recommender = kinds[name]
    fit_recommender(recommender, walks(30, seed=0), validation=rows(walks(9, seed=1)), config=FitConfig(epochs=2))
    save_recommender(recommender, tmp_path / "it")
    loaded = load_recommender(tmp_path / "it")
    history = torch.tensor([[3, 4, 5, 0], [9, 0, 0, 0]])
    assert torch.equal(loaded.score_all(history), recommender.score_all(history))
    manifest = json.loads((tmp_path / "it" / "recommender.json").read_text())
    manifest["settings"] = {}
    (tmp_path / "it" / "recommender.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="settings do not describe"):
        load_recommender(tmp_path / "it")


@pytest.mark.parametrize("of", ["counts", "fusion"])
def test_scores_after_each_item_are_those_of_its_prefix(of: str) -> None:
    counts = Counts(NUM_ITEMS)
    counts.count(walks(9, seed=0))
    fusion = Fusion([SASRec(NUM_ITEMS, width=8), counts, Popularity(torch.arange(25))], by_frequency=True)
    fusion.count(walks(9, seed=0))
    fusion.eval().weights.data.normal_()
    scorer = counts if of == "counts" else fusion
    history = torch.tensor([[3, 4, 5, 0], [9, 2, 0, 0]])
    expected = scorer.score_all(prefixes(history))
    assert torch.allclose(scorer.score_each(history), expected, atol=1e-5)
    some = torch.tensor([7, 1, 24])
    assert torch.allclose(scorer.score_each(history, some), expected[:, some], atol=1e-5)


def test_a_fold_counts_no_choice_of_its_users() -> None:
    log = Sequences.from_lists([[1, 2, 3]] * 4 + [[1, 9, 8]] * 4, [*range(8)])
    fold_of_user = {user: int(user >= 4) for user in range(8)}
    members = []
    for fold in range(2):
        counts = Counts(NUM_ITEMS, CountsConfig(smoothing=0.01))
        counts.count(log.select(np.array([row for row in range(8) if fold_of_user[row] != fold])))
        members.append(counts)
    folds = FoldRecommenders(members, fold_of_user)
    examples = prefix_examples(log, history_length=1, min_history=1).select(np.array([0, 8]))
    found = folds.log_probs(examples, np.array([[2, 9], [2, 9]]))
    assert found[0, 0] < found[0, 1], "user 0's own choice of 2 was counted"
    assert found[1, 0] > found[1, 1]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"name": "counts"}, "counts has no item vectors"),
        ({"name": "ease"}, "ease has no item vectors"),
        ({"name": "text"}, "recommender.text.encoder is not set"),
        ({"name": "fusion", "fusion": FusionConfig(members=("sasrec", "text"))}, "backbone fetch minilm-l6"),
        ({"name": "fusion", "fusion": FusionConfig(members=("counts", "sasrec"))}, "no item vectors"),
        ({"name": "fusion", "fusion": FusionConfig(members=("sasrec", "cuonts"))}, "Did you mean 'counts'"),
    ],
)
def test_what_cannot_be_made_is_refused(settings_: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecommenderConfig(**settings_)  # type: ignore[arg-type]


@pytest.mark.parametrize("members", [(), ("sasrec",), ("sasrec", "sasrec"), ("sasrec", "fusion")])
def test_a_fusion_needs_two_different_members(members: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="two or more different"):
        FusionConfig(members=members)


def test_text_is_asked_for_where_it_is_read() -> None:
    config = RecommenderConfig(name="text", text=TextConfig(encoder=Path("encoder")))
    with pytest.raises(ConfigError, match="give `texts`"):
        build_recommender(config, num_items=NUM_ITEMS)
    assert build_recommender(config, num_items=NUM_ITEMS, texts=ring_of_texts()).width == 2


def test_texts_are_encoded_one_by_one_as_together(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    texts = ["", "red house", "blue", "red blue house house red"]
    read: list[int] = []
    together = encode_texts(folder, texts, on_progress=read.append)
    assert sum(read) == 3
    assert together.shape == (4, encoded_width(folder))
    assert (together[0] == 0).all()
    assert torch.allclose(together[1:].norm(dim=1), torch.ones(3), atol=1e-5)
    for row in (1, 2, 3):
        assert torch.allclose(encode_texts(folder, [texts[row]])[0], together[row], atol=1e-5)
    assert torch.allclose(
        encode_texts(folder, texts, max_tokens=2)[3], encode_texts(folder, ["red blue"])[0], atol=1e-5
    )


def test_an_encoder_that_is_not_there_or_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no config"):
        encode_texts(tmp_path, ["red"])
    folder = encoder_folder(tmp_path / "encoder")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        encode_texts(folder, ["red"])
