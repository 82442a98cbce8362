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


def test_the_quickstart_takes_a_pretrained_model(smollm2: Path, tmp_path: Path) -> None:
    chosen = (
        "recommender.fit.epochs=1", "recommender.embedding_dim=16", "prior_folds=2", "train.epochs=0.005",
        "train.validations=1", "train.batch_size=4", "train.windows.length=4", "evaluate.validation_limit=6",
        "evaluate.rows_limit=8", "evaluate.examples=1", "data.split.history_length=3", "prompt.max_title_tokens=2",
    )  # fmt: skip
    settings = [part for setting in chosen for part in ("--set", setting)]
    out = tmp_path / "quick"
    found = llara("quickstart", "--backbone", smollm2, "--output", out, "--json", *settings).json()
    names = {model["name"] for model in found["comparison"]["models"]}
    assert any(name.startswith("text-only LLaRA (sequence") for name in names), names
    assert any(name.startswith("hybrid LLaRA (sequence") for name in names), names
    config = yaml.safe_load((out / "hybrid" / "config.yaml").read_text(encoding="utf-8"))
    assert config["backbone"]["path"] == str(smollm2)
    assert config["backbone"]["tuning"] == "lora"
    assert config["sequence"]["items"] == "vectors"
