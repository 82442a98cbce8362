import pytest

from llara.run.events import LineListener, Notice, stage


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_short_stage_is_one_line_however_many_steps_it_has() -> None:
    lines: list[str] = []
    listener = LineListener(lines.append, clock=Clock())
    with stage(listener, "SASRec without fold 2 of 3", 50) as advance:
        for _ in range(50):
            advance(1, "loss 2.0")
        advance.outcome = "best validation NDCG@10 0.2 after epoch 40"
    assert lines == ["SASRec without fold 2 of 3: best validation NDCG@10 0.2 after epoch 40, 0 s"]


def test_a_long_stage_says_now_and_then_how_far_it_is() -> None:
    lines: list[str] = []
    clock = Clock()
    listener = LineListener(lines.append, clock=clock, every_seconds=30)
    with stage(listener, "training", 2000) as advance:
        for _ in range(4):
            clock.now += 20
            advance(400, "loss 1.5")
        listener(Notice("training: step 1,600 of 2,000, validation HR@1 0.5"))
        clock.now += 20
        advance(400)
    assert lines[:-1] == [
        "training: 800 of 2,000, loss 1.5",
        "training: 1,600 of 2,000, loss 1.5",
        "training: step 1,600 of 2,000, validation HR@1 0.5",
    ]
    assert lines[-1].startswith("training: ")


def test_a_stage_that_fails_has_no_end() -> None:
    lines: list[str] = []
    with pytest.raises(KeyError), stage(LineListener(lines.append), "training", 1):
        raise KeyError
    assert lines == []
