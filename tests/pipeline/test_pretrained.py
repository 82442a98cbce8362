"""A real pretrained model, from its folder to a ranking, through the command line. Skips where it was not fetched."""

from pathlib import Path

import yaml

from tests.pipeline.conftest import World, llara, tiny_settings


def settings(world: World, smollm2: Path) -> Path:
    """Three steps of SmolLM2 on the tiny log."""
    content = tiny_settings(world.folder, "pretrained")
    content["backbone"] = {"path": str(smollm2), "tuning": "lora"}
    content["prompt"] = {"chat_template": "never"}
    content["train"] |= {"epochs": 0.03, "batch_size": 2, "micro_batch_size": 2, "validations": 1}
    content["data"]["candidates"]["draws"] = 1
    content["evaluate"] |= {"generation_draws": 0, "examples": 0}
    path = world.folder / "pretrained.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_pretrained_model_is_tuned_and_ranks(dataset: World, smollm2: Path) -> None:
    found = llara("train", settings(dataset, smollm2), "--json").json()
    names = [model["name"] for model in found["evaluation"]["models"]]
    assert any("LLaRA" in name for name in names), names
    assert found["best_step"] >= 1
    run = dataset.folder / "pretrained"
    assert not (run / "backbone").exists(), "a frozen model is named, not copied"
    ranked = llara("recommend", run, "--user", "1", "-k", "3", "--retrieve", "5", "--json").json()
    scores = [entry["score"] for entry in ranked["recommendations"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
