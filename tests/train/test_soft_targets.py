"""Soft targets: by hand, whose judgment they are, and whom they concern."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from llara.data import Sequences
from llara.errors import ConfigError
from llara.model import Llara, LlaraOutput, ScoredItems, SequenceConfig
from llara.prompt import PromptBatch, collate_histories
from llara.recommender import Counts, Fusion, SASRec
from llara.run.config import load_config
from llara.train import (
    CurriculumConfig,
    ObjectiveConfig,
    OptimizerConfig,
    TrainConfig,
    Trainer,
    WindowConfig,
    sequence_losses,
)
from llara.train.soft_targets import softened, teacher_of

Build = Callable[..., Llara]
HEAD = SequenceConfig(head=True, width=16, items="vectors")
HISTORIES, FOLLOWING = [[3, 7, 9], [5, 2]], [[7, 9, 12], [2, 8]]
TARGETS = torch.tensor([7, 9, 12, 2, 8])


def read(llara: Llara, items: ScoredItems | None, *, hybrid: list[bool]) -> tuple[LlaraOutput, PromptBatch]:
    histories = [llara.encode_history(history) for history in HISTORIES]
    batch = collate_histories(histories, hybrid=hybrid, filler=llara.encoder.filler, next_items=FOLLOWING)
    found: LlaraOutput = llara(batch, answer=False, listwise=False, sequence=True, items=items)
    return found, batch


def judged(llara: Llara, items: list[int]) -> Tensor:
    """The recommender's log-probabilities after each prefix, one pass per prefix."""
    prefixes = [history[: place + 1] for history in HISTORIES for place in range(len(history))]
    return torch.stack([llara.recommender.score_all(torch.tensor([prefix]))[0, items] for prefix in prefixes])


@pytest.mark.parametrize("drawn", [None, [4, 9, 20, 1]], ids=["catalog", "drawn"])
def test_a_share_of_the_loss_is_the_cross_entropy_with_the_recommender(
    tiny_llara: Build, drawn: list[int] | None
) -> None:
    llara = tiny_llara(sequence=HEAD).eval()
    scored = None
    if drawn is not None:  # the targets that were not drawn stand behind
        rest = [item for item in sorted(set(TARGETS.tolist())) if item not in drawn]
        scored = ScoredItems(torch.tensor([*drawn, *rest]), len(drawn), 24)
    found, batch = read(llara, scored, hybrid=[True, True])
    assert found.sequence is not None
    hard = sequence_losses(found, TARGETS)
    items = drawn or list(range(1, 25))
    own = found.sequence[:, 1:] if drawn is None else found.sequence[:, : len(drawn)]
    soft = -(judged(llara, items).softmax(dim=1) * own.log_softmax(dim=1)).sum(dim=1)
    mixed = softened(hard, found, batch, recommender=llara.recommender, share=0.25)
    torch.testing.assert_close(mixed, 0.75 * hard + 0.25 * soft)


def test_text_only_rows_keep_their_loss(tiny_llara: Build) -> None:
    llara = tiny_llara(sequence=HEAD).eval()
    found, batch = read(llara, None, hybrid=[True, False])
    hard = sequence_losses(found, TARGETS)
    mixed = softened(hard, found, batch, recommender=llara.recommender, share=0.5)
    assert torch.equal(mixed[3:], hard[3:])
    assert (mixed[:3] != hard[:3]).all()


def test_the_first_member_of_a_fusion_is_asked() -> None:
    sasrec = SASRec(24, width=8)
    assert teacher_of(Fusion([sasrec, Counts(24)], by_frequency=False)) is sasrec
    assert teacher_of(sasrec) is sasrec


def test_a_model_learns_what_the_recommender_thinks(tiny_llara: Build) -> None:
    rng = np.random.default_rng(0)
    log = Sequences.from_lists([(rng.permutation(24)[:6] + 1).tolist() for _ in range(24)])

    def distance(share: float) -> float:
        llara = tiny_llara(tuning="full", sequence=HEAD)
        with torch.no_grad():
            llara.recommender.item_table.weight.mul_(4.0)  # type: ignore[union-attr, operator]
        config = TrainConfig(
            epochs=12, batch_size=8, micro_batch_size=8, validations=1, objective=ObjectiveConfig(name="sequence"),
            windows=WindowConfig(length=6, soft_targets=share), curriculum=CurriculumConfig(kind="direct"),
            optimizer=OptimizerConfig(learning_rate=5e-3),
        )  # fmt: skip
        Trainer(llara, log, config=config, validate=lambda _: 0.0).train()
        with torch.no_grad():
            found, _ = read(llara.eval(), None, hybrid=[True, True])
        assert found.sequence is not None
        teacher = judged(llara, list(range(1, 25))).log_softmax(dim=1)
        own = found.sequence[:, 1:].log_softmax(dim=1)
        return float((teacher.exp() * (teacher - own)).sum(dim=1).mean())

    assert distance(0.9) < 0.8 * distance(0.0)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.objective.name=listwise"],
        ["train.objective.name=sequence", "practice.steps=0", "train.curriculum.kind=text-only"],
    ],
)
def test_soft_targets_that_nothing_would_read_are_refused(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="soft_targets is about hybrid windows"):
        load_config(Path("configs/own-data.yaml"), [*overrides, "train.windows.soft_targets=0.5"])
