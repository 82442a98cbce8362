"""The sequence objective: every position of a history at once, equal to one position at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from llara.data import Examples, Sequences
from llara.errors import ConfigError, DivergenceError
from llara.model import Llara, LlaraOutput, ScoredItems, SequenceConfig, score_candidates, score_catalog
from llara.model.weighing import leave_prior_out, weigh
from llara.prompt import PromptBatch, collate_histories
from llara.recommender import FoldRecommenders, SASRec
from llara.train import (
    CurriculumConfig,
    ObjectiveConfig,
    OptimizerConfig,
    StepRecord,
    TrainConfig,
    Trainer,
    WindowConfig,
    sequence_losses,
)
from llara.train.rows import WindowRows

Build = Callable[..., Llara]
HEAD = SequenceConfig(head=True, width=16)
WHOLE_ITEMS = replace(HEAD, items="vectors")
BOTH = pytest.mark.parametrize("head", [HEAD, WHOLE_ITEMS], ids=["titles", "vectors"])
HISTORIES = [[3, 7, 9, 12], [5, 2], [24, 1, 4]]
FOLLOWING = [[7, 9, 12, 20], [2, 8], [1, 4, 6]]


def settings(**changed: Any) -> TrainConfig:
    options: dict[str, Any] = {
        "epochs": 2.0,
        "batch_size": 4,
        "micro_batch_size": 2,
        "validations": 1,
        "objective": ObjectiveConfig(name="sequence"),
        "windows": WindowConfig(length=5),
        "curriculum": CurriculumConfig(kind="direct"),
    }
    return TrainConfig(**{**options, **changed})


def sequences(count: int = 9, *, seed: int = 5) -> Sequences:
    rng = np.random.default_rng(seed)
    return Sequences.from_lists([(rng.permutation(24)[: rng.integers(1, 14)] + 1).tolist() for _ in range(count)])


def output(llara: Llara, histories: list[list[int]], following: list[list[int]], *, hybrid: bool) -> LlaraOutput:
    batch = collate_histories(
        [llara.encode_history(history) for history in histories],
        hybrid=[hybrid] * len(histories),
        filler=llara.encoder.filler,
        next_items=following or None,
    )
    found: LlaraOutput = llara(batch, answer=False, listwise=False, sequence=True)
    return found


def gradients(llara: Llara, loss: Tensor) -> dict[str, Tensor]:
    weights = llara.trainable()
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {name: grad for name, grad in zip(weights, found, strict=True) if grad is not None}


@pytest.mark.parametrize("hybrid", [True, False])
@pytest.mark.parametrize("prior", [True, False])
@BOTH
def test_loss_and_gradients_are_those_of_one_position_at_a_time(
    tiny_llara: Build, head: SequenceConfig, *, hybrid: bool, prior: bool
) -> None:
    llara = tiny_llara(tuning="full", sequence=head, recommender_prior=prior).train()
    found = output(llara, HISTORIES, FOLLOWING, hybrid=hybrid)
    targets = torch.tensor([item for row in FOLLOWING for item in row])
    losses = sequence_losses(found, targets)
    plain = torch.stack([
        nn.functional.cross_entropy(
            output(llara, [history[: place + 1]], [], hybrid=hybrid).sequence[0], torch.tensor(target)  # type: ignore[index]
        )
        for history, following in zip(HISTORIES, FOLLOWING, strict=True)
        for place, target in enumerate(following)
    ])  # fmt: skip
    torch.testing.assert_close(losses, plain, rtol=1e-4, atol=1e-5)
    ours, theirs = gradients(llara, losses.sum()), gradients(llara, plain.sum())
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-4, msg=name)


@BOTH
def test_no_position_sees_what_follows(tiny_llara: Build, head: SequenceConfig) -> None:
    llara = tiny_llara(sequence=head, recommender_prior=True).eval()
    with torch.no_grad():
        one = output(llara, [[3, 7, 9]], [[7, 9, 12]], hybrid=True).sequence
        other = output(llara, [[3, 7, 20]], [[7, 20, 12]], hybrid=True).sequence
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one[:2], other[:2])
    assert (one[2] - other[2])[1:].abs().max() > 1e-3


def test_the_text_of_a_prompt_is_that_of_its_history(tiny_llara: Build) -> None:
    encoder = tiny_llara(sequence=HEAD).encoder
    prompt = encoder.encode_history([5, 2])
    assert prompt.candidate_items == []
    assert prompt.slot_items == [5, 2]
    assert prompt.history_positions == prompt.slot_positions
    assert len(prompt.token_ids) == encoder.history_lengths([[5, 2]])[0]
    assert prompt.token_ids == encoder.encode_history([5, 2, 9]).token_ids[: len(prompt.token_ids)]


def test_whole_items_are_one_token_each_after_one_that_is_none(tiny_llara: Build) -> None:
    llara = tiny_llara(sequence=WHOLE_ITEMS)
    prompt = llara.encode_history([5, 2])
    opening = len(prompt.token_ids) - 2
    assert opening == max(1, len(llara.encoder.opening))
    assert prompt.slot_positions == prompt.history_positions == [opening, opening + 1]
    assert prompt.slot_items == prompt.history_items == [5, 2]
    assert llara.history_lengths([[5, 2], [7]]).tolist() == [opening + 2, opening + 1]
    assert not tiny_llara(sequence=HEAD).encode_history([5, 2]).whole_items


def test_a_whole_item_is_its_text_and_in_hybrid_prompts_its_behavior(tiny_llara: Build) -> None:
    llara = tiny_llara(sequence=WHOLE_ITEMS)

    def batch(*, hybrid: bool) -> PromptBatch:
        prompts = [llara.encode_history([5, 2])]
        return collate_histories(prompts, hybrid=[hybrid], filler=llara.encoder.filler)

    with torch.no_grad():
        of_text = llara.text_projector(llara.sequence_head().texts[[5, 2]])  # type: ignore[misc]
        torch.testing.assert_close(llara.slot_vectors(batch(hybrid=False)), llara.placeholder + of_text)
        of_behavior = llara.projector(llara.item_table[[5, 2]])
        torch.testing.assert_close(llara.slot_vectors(batch(hybrid=True)), of_behavior + of_text)


def test_a_prior_that_is_left_out_of_training_changes_nothing_there(tiny_llara: Build) -> None:
    data, trained = sequences(), []
    for prior in (True, False):
        llara = tiny_llara(sequence=HEAD, recommender_prior=prior)
        if prior:
            leave_prior_out(llara)
        Trainer(llara, data, config=settings(), validate=lambda _: 0.5).train()
        trained.append(llara)
    with_prior, without = trained
    np.testing.assert_array_equal(score_catalog(with_prior, [[3, 7]]), score_catalog(without, [[3, 7]]))
    weigh(with_prior, "sequence", head=2.0, prior=0.5)
    alone = score_catalog(without, [[3, 7]])[0]
    with torch.no_grad():
        below = with_prior.recommender.score_all(torch.tensor([[3, 7]]))[0].double().cpu().numpy()
    np.testing.assert_allclose(score_catalog(with_prior, [[3, 7]])[0][1:], (2 * alone + below / 2)[1:], rtol=1e-4)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    window=st.integers(1, 9),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 3),
)
def test_every_transition_is_a_target_once_per_epoch(lengths: list[int], window: int, seed: int, epoch: int) -> None:
    data = Sequences.from_lists([list(range(1, length + 1)) for length in lengths])
    rows = WindowRows(None, data, WindowConfig(length=window), None, seed)  # type: ignore[arg-type]
    begin, length = rows.windows(epoch)
    assert len(begin) == len(rows) == WindowConfig(length=window).count(data)
    assert ((length >= 1) & (length <= window)).all()
    targets = [place for b, n in zip(begin.tolist(), length.tolist(), strict=True) for place in range(b + 1, b + n + 1)]
    firsts = data.offsets[:-1]
    assert sorted(targets) == sorted(set(range(len(data.items))) - set(firsts.tolist()))


def test_cuts_differ_between_epochs_and_are_the_same_again() -> None:
    data = Sequences.from_lists([list(range(1, 24))])
    rows, again = (WindowRows(None, data, WindowConfig(length=5), None, 3) for _ in range(2))  # type: ignore[arg-type]
    cuts = [rows.windows(epoch)[0].tolist() for epoch in range(6)]
    assert len({tuple(cut) for cut in cuts}) > 1
    assert cuts == [again.windows(epoch)[0].tolist() for epoch in range(6)]


def test_drawn_items_estimate_the_loss_of_the_whole_catalog() -> None:
    rng = np.random.default_rng(0)
    num_items, rows = 60, 40
    scores = torch.from_numpy(rng.normal(size=(rows, num_items + 1)) * 2).float()
    scores[:, 0] = float("-inf")
    target = torch.from_numpy(rng.integers(1, num_items + 1, size=rows))
    whole = sequence_losses(LlaraOutput(None, None, scores), target)

    def drawn(count: int, seed: int) -> Tensor:
        chosen = torch.from_numpy(np.random.default_rng(seed).choice(num_items, size=count, replace=False) + 1)
        missing = torch.unique(target)[~torch.isin(torch.unique(target), chosen)]
        items = ScoredItems(torch.cat([chosen, missing]), count, num_items)
        return sequence_losses(LlaraOutput(None, None, scores[:, items.indices], items), target)

    torch.testing.assert_close(drawn(num_items, 1), whole)
    # exp(loss) is what the drawing leaves unbiased: the sum over the catalog, as a share of the target's part.
    mean = torch.stack([drawn(20, seed).exp() for seed in range(400)]).mean(dim=0)
    assert ((mean / whole.exp()) - 1).abs().mean() < 0.03


def test_windows_ask_for_drawn_items_and_all_targets(tiny_llara: Build) -> None:
    llara = tiny_llara(sequence=HEAD)
    rows = WindowRows(llara, sequences(), WindowConfig(length=5, scored_items=6), None, 0)
    made = rows.batch(np.arange(4), np.ones(4, dtype=bool), epoch=0, step=3)
    assert made.items is not None
    assert (made.items.num_drawn, made.items.num_items) == (6, 24)
    asked = made.items.indices.tolist()
    assert len(asked) == len(set(asked))
    assert set(made.prompts.next_items.flatten().tolist()) - {0} <= set(asked)
    again = rows.batch(np.arange(4), np.ones(4, dtype=bool), epoch=0, step=3)
    assert again.items is not None
    assert again.items.indices.tolist() == asked


def test_recommenders_of_folds_judge_whole_windows(frozen_sasrec: SASRec) -> None:
    other = SASRec(24, width=16, seed=9).eval()
    folds = FoldRecommenders([frozen_sasrec.eval(), other], {7: 0, 8: 1, 9: 0})
    users, history = np.array([8, 7, 9]), torch.tensor([[3, 7, 9], [5, 2, 0], [24, 0, 0]])
    found = folds.score_each(users, history)
    expected = [
        recommender.score_all(history[row : row + 1, :count])[0]
        for row, recommender in ((0, other), (1, frozen_sasrec), (2, frozen_sasrec))
        for count in range(1, int((history[row] != 0).sum()) + 1)
    ]
    torch.testing.assert_close(found, torch.stack(expected).detach(), rtol=1e-4, atol=1e-5)
    some = torch.tensor([4, 1, 17])
    torch.testing.assert_close(folds.score_each(users, history, some), found[:, some])


@BOTH
def test_training_learns_what_follows_what_and_survives_saving(
    tiny_llara: Build, head: SequenceConfig, tmp_path: Path
) -> None:
    follows = {item: item % 24 + 1 for item in range(1, 25)}
    rng = np.random.default_rng(1)
    data = []
    for start in rng.integers(1, 25, size=60).tolist():
        row = [start]
        for _ in range(5):
            row.append(follows[row[-1]])
        data.append(row)
    llara = tiny_llara(tuning="full", sequence=head)
    llara.default_scorer = "sequence"
    config = settings(epochs=12.0, batch_size=16, micro_batch_size=16, optimizer=OptimizerConfig(learning_rate=5e-3))
    Trainer(llara, Sequences.from_lists(data), config=config, validate=lambda _: 0.5).train()
    llara.eval()
    scores = score_catalog(llara, [[item] for item in follows])
    assert np.mean(scores.argmax(axis=1) == list(follows.values())) > 0.9
    llara.save_pretrained(tmp_path)
    opened = Llara.from_pretrained(tmp_path)
    np.testing.assert_array_equal(score_catalog(opened, [[4, 5], [9]]), score_catalog(llara, [[4, 5], [9]]))


def test_candidates_have_their_scores_of_the_catalog(tiny_llara: Build) -> None:
    llara = tiny_llara(sequence=HEAD, recommender_prior=True)
    histories, candidates = [[3, 7], [5], [3, 7]], [[1, 2, 9], [4, 5, 6], [24, 11, 2]]
    of_catalog = score_catalog(llara, histories, batch_size=2)
    found = score_candidates(llara, histories, candidates, scorer="sequence", batch_size=2)
    np.testing.assert_allclose(found, np.take_along_axis(of_catalog, np.array(candidates), axis=1), rtol=1e-5)
    assert np.isneginf(of_catalog[:, 0]).all()


def test_items_that_nobody_chose_are_known_by_their_text_alone(tiny_llara: Build) -> None:
    llara = tiny_llara(sequence=HEAD)
    data = Sequences.from_lists([[1, 2, 3], [2, 3, 4]])
    Trainer(llara, data, config=settings(epochs=1), validate=lambda _: 0.5).train()
    head = llara.sequence_head()
    before = torch.cat(head.item_vectors(), dim=1).detach()
    with torch.no_grad():
        head.learned.add_(1.0)
        head.behavior.add_(1.0)
    moved = (torch.cat(head.item_vectors(), dim=1) - before).abs().amax(dim=1) > 0
    assert moved.nonzero().flatten().tolist() == [1, 2, 3, 4]


@BOTH
def test_text_only_scores_know_nothing_of_the_recommender(tiny_llara: Build, head: SequenceConfig) -> None:
    llara = tiny_llara(sequence=head, recommender_prior=True).eval()
    before = {hybrid: score_catalog(llara, [[3, 7]], hybrid=hybrid) for hybrid in (True, False)}
    llara.exchange_recommender(SASRec(24, width=16, seed=77))
    after = {hybrid: score_catalog(llara, [[3, 7]], hybrid=hybrid) for hybrid in (True, False)}
    np.testing.assert_array_equal(before[False], after[False])
    assert np.abs(before[True][:, 1:] - after[True][:, 1:]).max() > 1e-3


def test_a_resumed_training_ends_as_an_uninterrupted_one(tiny_llara: Build, tmp_path: Path) -> None:
    config = settings(epochs=2, validations=4, windows=WindowConfig(length=5, scored_items=8))

    class StoppedError(Exception):
        """As if the process had died."""

    def stop_at(step: int) -> Callable[[Any], None]:
        def on_step(record: Any) -> None:
            if record.step == step:
                raise StoppedError

        return on_step

    whole = tiny_llara(sequence=HEAD)
    Trainer(whole, sequences(), config=config, validate=lambda _: 0.5).train()
    first = tiny_llara(sequence=HEAD)
    trainer = Trainer(first, sequences(), config=config, validate=lambda _: 0.5, folder=tmp_path, on_step=stop_at(3))
    with pytest.raises(StoppedError):
        trainer.train()
    resumed = tiny_llara(sequence=HEAD)
    Trainer(resumed, sequences(), config=config, validate=lambda _: 0.5, folder=tmp_path).train(resume=True)
    for name, weight in whole.trainable().items():
        torch.testing.assert_close(weight, resumed.trainable()[name], rtol=0, atol=0)


def test_the_loss_of_a_step_is_the_mean_over_its_targets(tiny_llara: Build) -> None:
    losses: dict[int, list[float]] = {}
    for micro in (1, 4):
        records: list[StepRecord] = []
        config = settings(epochs=1, micro_batch_size=micro)
        llara = tiny_llara(sequence=HEAD)
        Trainer(llara, sequences(), config=config, validate=lambda _: 0.5, on_step=records.append).train()
        losses[micro] = [record.loss for record in records]
    assert losses[1] == pytest.approx(losses[4], rel=1e-4)


def test_data_of_the_other_kind_is_refused(tiny_llara: Build, make_examples: Callable[[int], Examples]) -> None:
    with pytest.raises(ConfigError, match="trained on the training users' sequences"):
        Trainer(tiny_llara(sequence=HEAD), make_examples(4), config=settings(), validate=lambda _: 0.5)
    listwise = settings(objective=ObjectiveConfig(name="listwise"))
    with pytest.raises(ConfigError, match="trained on examples with a target each"):
        Trainer(tiny_llara(), sequences(), config=listwise, validate=lambda _: 0.5)
    with pytest.raises(ConfigError, match="no training user has two items"):
        Trainer(tiny_llara(sequence=HEAD), Sequences.from_lists([[1], [2]]), config=settings(), validate=lambda _: 0.5)
    with pytest.raises(ConfigError, match="no sequence head"):
        score_catalog(tiny_llara(), [[1, 2]])


def test_a_prior_that_is_no_number_stops_training(tiny_llara: Build) -> None:
    class NoNumber:
        def log_probs(self, examples: Examples, candidates: np.ndarray) -> Tensor:
            raise AssertionError("histories alone have no candidates")

        def score_each(self, users: np.ndarray, history: Tensor, items: Tensor | None = None) -> Tensor:
            return torch.full((int((history != 0).sum()), 25), float("nan"))

    llara = tiny_llara(sequence=HEAD, recommender_prior=True)
    trainer = Trainer(llara, sequences(), config=settings(), validate=lambda _: 0.5, prior=NoNumber())
    with pytest.raises(DivergenceError, match="the loss is nan"):
        trainer.train()
