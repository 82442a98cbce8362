import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from llara.run.events import Notice, ignore
from llara.run.stages import Place, Probed
from llara.run.stopwatch import Stopwatch, saved_seconds


@dataclass(frozen=True)
class Wait:
    """A stage that takes a while, says something, and perhaps fails."""

    fails: bool = False
    needed: bool = True
    name: str = "waiting"

    def run(self, place: Place) -> str:
        import time

        time.sleep(0.05)
        place.listener(Notice("half of it"))
        if self.fails:
            raise KeyboardInterrupt
        return "waited"

    def probe(self, seconds: float) -> Probed[str]:
        return Probed("", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "manifest.json").write_text(json.dumps({"data": {}, "fingerprint": "x", "seconds": {"waiting": 100.0}}))
    return tmp_path


def test_a_resumed_run_adds_to_the_seconds_of_its_earlier_attempts(folder: Path) -> None:
    watch = Stopwatch(saved_seconds(folder), folder=folder)
    assert watch.run(Wait(), Place(folder)) == "waited"
    assert 100.05 <= watch.seconds["waiting"] < 105
    assert saved_seconds(folder) == watch.seconds


def test_time_until_an_interruption_is_kept(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Stopwatch(folder=folder).run(Wait(fails=True), Place(folder))
    assert saved_seconds(folder)["waiting"] >= 0.05


def test_time_up_to_a_notice_is_kept_although_the_process_is_killed_later(folder: Path) -> None:
    watch = Stopwatch(folder=folder)
    seen: list[dict[str, float]] = []
    listener = watch.watching(lambda _: seen.append(saved_seconds(folder)))
    watch.run(Wait(), Place(folder, listener=listener))
    assert 0.05 <= seen[0]["waiting"] <= watch.seconds["waiting"]


def test_a_stage_that_is_not_needed_has_no_time(folder: Path) -> None:
    watch = Stopwatch()
    watch.run(Wait(needed=False), Place(folder, listener=ignore))
    assert watch.seconds == {}
    assert saved_seconds(folder / "elsewhere") == {}
