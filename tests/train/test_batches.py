import gc
import weakref

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llara.data import IntArray
from llara.train.batches import BatchPlan


def lengths_of(size: int, epoch: int) -> IntArray:
    return np.random.default_rng([size, epoch]).integers(20, 300, size=size)


def plan_of(size: int, *, batch_size: int = 8, seed: int = 0) -> BatchPlan:
    return BatchPlan(size, batch_size, seed, lambda rows, epoch: lengths_of(size, epoch)[rows])


def epoch_rows(plan: BatchPlan, epoch: int) -> list[list[int]]:
    first = epoch * plan.steps_per_epoch
    return [plan.rows(step).tolist() for step in range(first, first + plan.steps_per_epoch)]


@given(size=st.integers(1, 900), batch_size=st.integers(1, 40), epoch=st.integers(0, 3), seed=st.integers(0, 9))
def test_each_epoch_sees_every_row_exactly_once(size: int, batch_size: int, epoch: int, seed: int) -> None:
    batches = epoch_rows(plan_of(size, batch_size=batch_size, seed=seed), epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(size))
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[1:] == [batch_size] * (len(batches) - 1)  # all full but one
    assert sizes[0] == size - batch_size * (len(batches) - 1)


def test_three_steps_cover_ten_rows_in_batches_of_four() -> None:
    assert plan_of(10, batch_size=4).steps_per_epoch == 3


def test_rows_of_a_batch_have_similar_lengths_and_the_longest_comes_first() -> None:
    plan = plan_of(4000)
    lengths = lengths_of(4000, 0)
    batches = [lengths[plan.rows(step)] for step in range(plan.steps_per_epoch)]
    assert np.mean([batch.std() for batch in batches]) < 0.1 * lengths.std()
    assert all((np.diff(batch) <= 0).all() for batch in batches)


def test_long_and_short_batches_alternate_at_random() -> None:
    plan = plan_of(4000)
    means = [lengths_of(4000, 0)[plan.rows(step)].mean() for step in range(plan.steps_per_epoch)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.2


def test_rows_are_a_pure_function_of_seed_and_step() -> None:
    plan, twin = plan_of(100), plan_of(100)
    steps = [40, 3, 40, 17, 0, 12]  # back and forth over four epochs, as a resumed run does
    there = {step: plan.rows(step).tolist() for step in steps}
    assert {step: twin.rows(step).tolist() for step in sorted(steps)} == there
    assert epoch_rows(plan, 2) == epoch_rows(twin, 2)


def test_epochs_and_seeds_differ() -> None:
    plan = plan_of(100)
    assert epoch_rows(plan, 0) != epoch_rows(plan, 1)
    assert epoch_rows(plan, 0) != epoch_rows(plan_of(100, seed=1), 0)


def test_lengths_are_those_of_the_epoch_and_asked_for_pool_by_pool() -> None:
    asked: list[tuple[int, int]] = []

    def lengths(rows: IntArray, epoch: int) -> IntArray:
        asked.append((len(rows), epoch))
        return lengths_of(1000, epoch)[rows]

    plan = BatchPlan(1000, 8, 0, lengths)
    for step in range(140):
        epoch = step // plan.steps_per_epoch
        assert (np.diff(lengths_of(1000, epoch)[plan.rows(step)]) <= 0).all()
    assert asked == [(400, 0), (400, 0), (200, 0), (400, 1)]


def test_plans_of_other_lengths_do_not_share_batches() -> None:
    plan, other = plan_of(100), plan_of(50)
    assert plan != other
    assert sum(len(rows) for rows in epoch_rows(plan, 0)) == 100
    assert sum(len(rows) for rows in epoch_rows(other, 0)) == 50


def test_a_plan_that_is_dropped_leaves_nothing_behind() -> None:
    class Model:
        def lengths(self, rows: IntArray, epoch: int) -> IntArray:
            return lengths_of(40, epoch)[rows]

    model = Model()
    plan = BatchPlan(40, 8, 0, model.lengths)
    plan.rows(0)
    gone = weakref.ref(model)
    del model, plan
    gc.collect()
    assert gone() is None
