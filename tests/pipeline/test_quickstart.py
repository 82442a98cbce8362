from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pipeline.conftest import World

TINY = (
    "recommender.fit.epochs=1",
    "recommender.embedding_dim=16",
    "backbone.nano.hidden_size=32",
    "backbone.nano.num_layers=1",
    "backbone.adapt.steps=2",
    "practice.steps=4",
    "prior_folds=2",
    "train.epochs=0.02",
    "train.validations=1",
    "evaluate.validation_limit=20",
    "data.candidates.draws=1",
)


@pytest.mark.slow
def test_quickstart_runs_the_whole_path_and_prints_one_json_object(dataset: "World", tmp_path: Path) -> None:
    folder = tmp_path / "quick"
    settings = [part for setting in TINY for part in ("--set", setting)]
    found = dataset.llara("quickstart", "--output", folder, "--json", *settings).json()
    names = [model["name"] for model in found["comparison"]["models"]]
    assert names[:2] == ["popularity", "sasrec"]
    for kind in ("text-only", "hybrid"):
        assert {f"{kind} LLaRA (listwise)", f"{kind} LLaRA (free generation)"} <= set(names)
    assert Path(found["report"]).is_file()
    again = dataset.llara("quickstart", "--output", folder)
    assert "has a finished quickstart" in again.refused()
