"""`Run` from Python: no terminal, no command line."""

from typing import TYPE_CHECKING

import pytest

import llara
from llara.errors import CheckpointError, ConfigError, DataError
from llara.run import Run
from llara.run.events import Event, Notice, StageFinished, StageStarted

if TYPE_CHECKING:
    from tests.pipeline.conftest import World


def test_a_run_is_trained_evaluated_and_asked_from_python(dataset: "World", capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = []
    run = Run.train(dataset.config("from-python"), overrides=["train.epochs=0.5"], listener=events.append)
    assert run.folder == dataset.folder / "from-python"
    assert run.finished is not None
    assert run.finished.seconds == run.manifest["seconds"]
    started = [event.stage for event in events if isinstance(event, StageStarted)]
    assert started == [event.stage for event in events if isinstance(event, StageFinished)]
    assert sum(isinstance(event, Notice) for event in events) == 3  # validations

    opened = llara.Run.open(run.folder)
    assert opened.config.train.epochs == 0.5
    known = opened.recommend(user=3, k=5)
    assert opened.recommend(history=[item for item, _ in known.history], k=5) == known
    judged = opened.evaluate(scorer="listwise", draws=1)
    names = [result.name for result in judged.evaluated.report.results]
    assert names == ["popularity", "sasrec", "hybrid LLaRA (listwise)"]
    assert capsys.readouterr().out == ""


def test_what_a_run_is_asked_is_checked(world: "World") -> None:
    run = Run.open(world.hybrid)
    with pytest.raises(ConfigError, match="not both or neither"):
        run.recommend()
    with pytest.raises(DataError, match="history is empty"):
        run.recommend(history=[])
    with pytest.raises(ConfigError, match="--part must be test or validation"):
        run.evaluate(part="train")
    with pytest.raises(CheckpointError, match="is no run folder"):
        Run.open(world.folder)
