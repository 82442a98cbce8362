"""An audit of tiny runs: its numbers are those of asking by hand, and the model is left as it was."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from llara.evaluate import LlaraScorer, TaskMaterial, judge, task_named
from llara.model.weighing import by_itself
from llara.run.audit import Audit, audit_run
from llara.run.audit.probes import _changes
from llara.run.reevaluation import OpenedRun, open_finished

if TYPE_CHECKING:
    from llara.evaluate import RankingTask
    from llara.model import Llara
    from tests.pipeline.conftest import Trained


def opened(run: Path) -> tuple[OpenedRun, "Llara", "RankingTask"]:
    found = open_finished(run, None)
    material = TaskMaterial(found.dataset, found.split, found.config.data.split, found.config.data.candidates)
    task = task_named("sequential").rows(material, "test", draws=2, dense=True, limit=12)
    return found, found.load_model(), task


def audit_of(run: Path) -> tuple[Audit, "Llara", "RankingTask"]:
    found, llara, task = opened(run)
    return audit_run(llara, found.split, task, batch_size=8), llara, task


def by_name(audit: Audit) -> dict[str, Any]:
    return {probe.name: probe for probe in audit.probes}


def test_numbers_are_those_of_asking_by_hand(trained: "Trained") -> None:
    run = trained.world.folder / "hybrid"
    audit, llara, task = audit_of(run)
    way = llara.default_scorer
    assert audit.alone == (way != "answer" and llara.config.recommender_prior)
    scorer = LlaraScorer(llara, way, batch_size=8)

    def asked(other: "RankingTask") -> float:
        with by_itself(llara, way) if audit.alone else nullcontext():
            return judge(scorer, other).result.hit_ratio

    found = by_name(audit)
    assert found["as it is"].hit_ratio == asked(task)
    latest = np.zeros_like(task.examples.history)
    latest[:, 0] = [history[-1] for history in task.examples.histories()]
    examples = replace(task.examples, history=latest, history_length=np.ones(len(latest), dtype=np.int64))
    assert found["the latest item alone"].hit_ratio == asked(replace(task, examples=examples))
    table = llara.item_table
    llara.item_table = torch.zeros_like(table)
    assert found["behavioral tokens of zeros"].hit_ratio == asked(task)
    llara.item_table = table
    assert asked(task) == found["as it is"].hit_ratio  # the model is as it was
    rows = task.examples.history_length > 1
    assert {entry.age: entry.rows for entry in audit.left_out}[1] == rows.sum()


def test_texts_are_exchanged_while_each_place_keeps_its_behavioral_token(trained: "Trained") -> None:
    _, llara, task = opened(trained.world.folder / "hybrid")
    changes = {change.name: change for change in _changes(llara, task, "answer", np.random.default_rng(0))}
    own, table = task.examples.history, llara.item_table
    texts, tokens = changes["texts of other items"], changes["behavioral tokens of other items"]
    assert (texts.task.examples.history != own).any()
    assert ((texts.task.examples.history == 0) == (own == 0)).all()
    with texts.holding():
        assert torch.equal(llara.item_table[texts.task.examples.history], table[own])
    with tokens.holding():
        assert torch.equal(llara.item_table[own], table[texts.task.examples.history])
        assert torch.equal(llara.item_table.sort(dim=0).values, table.sort(dim=0).values)
    assert llara.item_table is table
    shuffled = changes["history in another order"].task.examples
    assert (np.sort(shuffled.history, axis=1) == np.sort(own, axis=1)).all()
    assert (shuffled.history != own).any()
    again = changes["candidates in another order (1)"].task
    assert (np.sort(again.candidate_items, axis=2) == np.sort(task.candidate_items, axis=2)).all()
    targets = np.take_along_axis(again.candidate_items, again.target_columns[..., None], axis=2)[..., 0]
    assert (targets == task.examples.target).all()


def test_the_command_writes_a_page_and_keeps_an_earlier_one(trained: "Trained") -> None:
    run = trained.world.folder / "hybrid"
    found = trained.world.llara("audit", run, "--rows", "9", "--json").json()
    assert found["probes"][0]["rows"] == 9
    assert all(0 <= probe["hit_ratio"] <= 1 for probe in found["probes"])
    assert 0 <= found["most_popular_chosen"] <= 1
    page = Path(found["output"], "audit.html").read_text(encoding="utf-8")
    for part in ("What does hybrid LLaRA (", "texts of other items", "the latest", "most training interactions"):
        assert part in page
    assert "exists" in trained.world.llara("audit", run, "--rows", "9").refused()
    again = trained.world.llara("audit", run, "--rows", "9", "--force")
    assert again.code == 0
    assert "what was changed" in again.out
    assert "at least 1, got 0" in trained.world.llara("audit", run, "--rows", "0", "--force").refused()


def test_a_text_only_model_is_not_asked_about_tokens(trained: "Trained") -> None:
    audit, _, _ = audit_of(trained.world.folder / "text-only")
    assert not any("token" in probe.name for probe in audit.probes)
    assert not audit.alone
