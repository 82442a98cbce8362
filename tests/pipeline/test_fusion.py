"""A fusion of cheap recommenders under the language model, through the command line."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from llara.recommender.text_encoder import encode_texts
from llara.run.config import load_config
from llara.run.material import read_material
from tests.recommender.tiny_encoder import encoder_folder

if TYPE_CHECKING:
    from tests.pipeline.conftest import World

MEMBERS = ["text-sasrec", "counts", "text"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a run whose prior is a fusion, and whose sequence head reads an encoder's vectors."""
    encoder = encoder_folder(tmp_path_factory.mktemp("encoder"), ("Story", *map(str, range(32))))
    chosen = (
        "recommender.name=fusion", f"recommender.fusion.members=[{','.join(MEMBERS)}]",
        f"recommender.text.encoder={encoder}", "recommender_prior=true", "prior_folds=2",
        "train.objective.name=sequence", "sequence.texts=encoder", "train.windows.length=4",
        "evaluate.validation_rows=dense",
    )  # fmt: skip
    return [part for setting in chosen for part in ("--set", setting)]


def test_a_run_on_a_fusion_judges_its_members_and_opens_again(world: "World", settings: list[str]) -> None:
    run = world.folder / "fused"
    trained = world.llara("train", world.config("fused"), *settings, "--json").json()
    names = [model["name"] for model in trained["evaluation"]["models"]]
    assert names[:5] == ["popularity", *MEMBERS, "fusion"]
    assert names[5].startswith("hybrid LLaRA (sequence")
    saved = json.loads((run / "recommender" / "recommender.json").read_text())
    assert [member["name"] for member in saved["settings"]["members"]] == MEMBERS
    again = world.llara("evaluate", run, "--json").json()["evaluation"]["models"]
    assert [(model["name"], model["hr@1"]) for model in again] == [
        (model["name"], model["hr@1"]) for model in trained["evaluation"]["models"]
    ]
    ranked = world.llara("recommend", run, "--history", "105,106", "-k", "9", "--json").json()["recommendations"]
    assert len({item["item_id"] for item in ranked}) == 9


def test_reading_texts_and_fitting_members_is_planned(world: "World", settings: list[str]) -> None:
    planned = world.llara("plan", world.config("fused-plan"), *settings, "--json").json()
    amounts = {stage["name"]: stage["amount"] for stage in planned["stages"]}
    assert "text-sasrec" in amounts["recommender"]
    assert "prior folds" in amounts


def test_texts_without_an_encoder_are_refused_before_work(world: "World", tmp_path: Path) -> None:
    config = world.config("refused")
    asked = ("--set", "train.objective.name=sequence", "--set", "sequence.texts=encoder")
    assert "needs recommender.text.encoder" in world.llara("train", config, *asked).refused()
    wrong = (*asked, "--set", f"recommender.text.encoder={tmp_path}")
    assert "has no config.json" in world.llara("train", config, *wrong).refused()
    assert not (world.folder / "refused").exists()
    alone = ("--set", 'recommender.text.item_text="{title} ({year})"')
    assert "item_text says what recommender.text.encoder reads" in world.llara("train", config, *alone).refused()


def test_the_encoder_may_read_more_than_prompts_show(world: "World", settings: list[str]) -> None:
    overrides = [*settings[1::2], 'recommender.text.item_text="{title} {year}"', "recommender.text.max_tokens=12"]
    material = read_material(load_config(world.config("longer"), overrides))
    found, catalog = material.text_vectors(), material.dataset.catalog
    assert found is not None
    encoder = material.config.recommender.text.encoder
    assert encoder is not None
    more, shown = (encode_texts(encoder, catalog.texts(text), max_tokens=12) for text in ("{title} {year}", "{title}"))
    assert torch.equal(found, more)
    assert not torch.equal(more, shown)
    assert material.config.prompt.item_text == "{title}"
