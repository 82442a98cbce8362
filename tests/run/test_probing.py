import pytest

from llara.run.stages.probing import Budget, Repeats, expect


class Work:
    """Work of which a piece of n rows takes `fixed + per_row * n` seconds, by a clock that only it moves."""

    def __init__(self, *, fixed: float, per_row: float) -> None:
        self.now = 0.0
        self.sizes: list[int] = []
        self._fixed, self._per_row = fixed, per_row

    def clock(self) -> float:
        return self.now

    def run(self, rows: int) -> float:
        took = self._fixed + self._per_row * rows
        self.now += took
        self.sizes.append(rows)
        return took


@pytest.mark.parametrize("per_row", [0.0001, 0.01, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("fixed", [0.0, 0.05, 1.0])
def test_work_of_any_speed_is_expected_within_its_budget(per_row: float, fixed: float) -> None:
    work = Work(fixed=fixed, per_row=per_row)
    found = expect(work.run, full=128, seconds=15.0, clock=work.clock)
    assert work.now <= 15.0
    actual = fixed + 128 * per_row
    assert abs(found.seconds / actual - 1) <= found.uncertainty or fixed >= per_row


def test_what_does_not_grow_with_the_size_is_paid_once() -> None:
    work = Work(fixed=1.0, per_row=0.5)
    found = expect(work.run, full=128, seconds=30.0, clock=work.clock)
    assert found.size < 128
    assert found.seconds == pytest.approx(65.0)


def test_work_that_is_too_slow_is_tried_once_and_said_to_be_uncertain() -> None:
    work = Work(fixed=0.0, per_row=40.0)
    found = expect(work.run, full=128, seconds=10.0, clock=work.clock)
    assert work.sizes == [1]
    assert (found.seconds, found.uncertainty) == (40.0 * 128, 0.5)


def test_whole_steps_are_measured_as_soon_as_some_fit() -> None:
    work = Work(fixed=0.0, per_row=0.001)
    found = expect(work.run, full=128, seconds=10.0, steady=lambda left: (0.2, left / 100), clock=work.clock)
    assert work.sizes == [1, 1]
    assert (found.seconds, found.size) == (0.2, 128)
    assert found.uncertainty == pytest.approx(0.1, rel=0.01)


def test_steps_that_agree_are_not_repeated_and_the_first_ones_do_not_count() -> None:
    repeats = Repeats(most=16, uncounted=2, seconds=1e6)
    steps = 0
    for steps, seconds in enumerate([9.0, 4.0, *[1.0, 1.01] * 10], start=1):  # noqa: B007
        if repeats.add(seconds):
            break
    assert steps == 7
    assert repeats.mean() == pytest.approx(1.0, abs=0.01)
    assert repeats.spread() < 0.05


def test_steps_that_differ_are_repeated_until_there_are_enough() -> None:
    repeats = Repeats(most=16, uncounted=2, seconds=1e6)
    assert [repeats.add(seconds) for seconds in [1.0, 3.0] * 8] == [False] * 15 + [True]
    assert repeats.spread() > 0.2


def test_steps_end_with_the_budget() -> None:
    repeats = Repeats(most=16, uncounted=2, seconds=-1.0)
    assert [repeats.add(1.0) for _ in range(3)] == [False, False, True]


def test_what_one_probe_leaves_is_for_those_after_it() -> None:
    budget = Budget(40.0, (1.0, 1.0, 2.0))
    assert budget.next() == pytest.approx(10.0, abs=0.1)
    assert budget.next() == pytest.approx(40.0 / 3, abs=0.1)  # nothing was spent meanwhile
    assert budget.next() == pytest.approx(40.0, abs=0.1)
