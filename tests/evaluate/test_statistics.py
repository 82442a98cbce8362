import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from llara.errors import ConfigError, DataError
from llara.evaluate import FloatArray, Interval, bootstrap_interval, paired_test, wilson_interval
from llara.evaluate.statistics import hit_ratio_interval, sign_flip_p_value


def _hits(rng: np.random.Generator, rate: float, *, rows: int, draws: int = 1) -> FloatArray:
    return np.asarray((rng.random((draws, rows)) < rate).mean(axis=0), dtype=np.float64)


def known(interval: Interval | None) -> Interval:
    assert interval is not None
    return interval


def test_wilson_interval_of_the_published_lastfm_row() -> None:
    interval = wilson_interval(64, 122)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.4366, 0.6111)
    assert (interval.level, interval.method) == (0.95, "wilson")


def test_wilson_interval_equals_its_formula() -> None:
    z, p, n = 1.959963984540054, 0.3, 50
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = wilson_interval(15, 50)
    assert [interval.low, interval.high] == pytest.approx([center - half, center + half])


def test_wilson_interval_has_width_at_the_ends() -> None:
    assert wilson_interval(0, 30).low == 0
    assert 0.1 < wilson_interval(0, 30).high < 0.15
    assert wilson_interval(30, 30).high == 1


def test_bootstrap_interval_is_close_to_wilson_for_single_hits() -> None:
    values = np.repeat([1.0, 0.0], [64, 58])
    bootstrap, wilson = known(bootstrap_interval(values)), wilson_interval(64, 122)
    assert [bootstrap.low, bootstrap.high] == pytest.approx([wilson.low, wilson.high], abs=0.012)


def test_bootstrap_by_counts_and_by_rows_agree() -> None:
    values = np.round(np.random.default_rng(0).random(400), 1)
    distinct = values + np.arange(400) * 1e-9  # all values differ: the other code path
    by_counts, by_rows = known(bootstrap_interval(values)), known(bootstrap_interval(distinct))
    assert [by_counts.low, by_counts.high] == pytest.approx([by_rows.low, by_rows.high], abs=0.003)


def test_bootstrap_is_seeded() -> None:
    values = _hits(np.random.default_rng(0), 0.4, rows=95, draws=20)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = [
        0.4 in known(bootstrap_interval(_hits(rng, 0.4, rows=120), level=0.9, resamples=1000, seed=trial))
        for trial in range(300)
    ]
    assert 0.84 <= np.mean(covered) <= 0.95


def test_more_draws_of_the_same_users_do_not_look_like_more_users() -> None:
    tastes = np.random.default_rng(0).random(100) < 0.5  # each user is always hit or never
    single, many = tastes.astype(np.float64), np.tile(tastes, (20, 1)).mean(axis=0)
    assert bootstrap_interval(single) == bootstrap_interval(many)


def test_identical_models_tie_with_p_one() -> None:
    values = _hits(np.random.default_rng(0), 0.4, rows=95, draws=20)
    test = paired_test(values, values)
    assert (test.verdict, test.p_value, test.difference, test.num_rows) == ("tie", 1.0, 0.0, 95)
    assert test.interval is None, "without any variation an interval would have no width and look like certainty"


def test_a_clear_difference_has_a_winner() -> None:
    rng = np.random.default_rng(0)
    better, worse = _hits(rng, 0.6, rows=300, draws=5), _hits(rng, 0.3, rows=300, draws=5)
    assert paired_test(better, worse).verdict == "better"
    assert paired_test(worse, better).verdict == "worse"
    assert paired_test(better, worse).p_value < 0.001


def test_two_users_decide_nothing() -> None:
    test = paired_test(np.array([1.0, 0.5]), np.zeros(2))
    assert test.interval is not None
    assert test.interval.method == "t over users"
    assert 0.0 in test.interval
    assert test.p_value == pytest.approx(0.5, abs=0.03)
    assert test.verdict == "not decided"


@pytest.mark.parametrize(("rows", "verdict"), [(1, "not decided"), (5, "not decided"), (6, "better")])
def test_a_winner_needs_as_many_users_as_the_permutation_test_can_decide_with(rows: int, verdict: str) -> None:
    assert paired_test(np.ones(rows), np.zeros(rows)).verdict == verdict
    users = np.repeat(np.arange(rows), 50)
    assert paired_test(np.ones(50 * rows), np.zeros(50 * rows), users=users).verdict == verdict


@pytest.mark.parametrize("users", [None, np.zeros(10, dtype=np.int64), np.repeat([3, 7], 5)])
def test_there_is_no_interval_where_resampling_sees_no_variation(users: "np.ndarray | None") -> None:
    values = np.full(10, 0.4) if users is None else np.tile([1.0, 1.0, 0.0, 0.0, 0.0], 2)
    assert bootstrap_interval(values, users=users) is None


def test_sign_flip_p_value_equals_the_enumeration() -> None:
    differences = np.array([0.5, 0.25, -0.25, 1.0, 0.75, 0.0])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1)
    exact = (np.abs(differences @ signs) >= differences.sum() - 1e-12).mean()
    assert sign_flip_p_value(differences) == pytest.approx(exact, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_swapping_the_models_changes_signs_only(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = _hits(rng, 0.5, rows=40, draws=3), _hits(rng, 0.4, rows=40, draws=3)
    there, back = paired_test(one, other), paired_test(other, one)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == back.p_value
    if there.difference != 0:
        ours, theirs = known(there.interval), known(back.interval)
        assert [ours.low, ours.high] == [-theirs.high, -theirs.low]
        assert {"better": "worse", "worse": "better", "tie": "tie"}[there.verdict] == back.verdict


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.5, 1.0])),
    arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.5, 1.0])),
)
def test_an_interval_around_zero_is_always_a_tie(one: FloatArray, other: FloatArray) -> None:
    test = paired_test(one, other)
    assert 0 < test.p_value <= 1
    if test.interval is None:
        assert np.ptp(one - other) == 0
    else:
        assert test.interval.low < test.interval.high
    if test.interval is not None and 0.0 in test.interval:
        assert test.verdict == "tie"


def test_false_winners_are_as_rare_as_the_level_says() -> None:
    rng = np.random.default_rng(11)
    verdicts = [
        paired_test(_hits(rng, 0.4, rows=60), _hits(rng, 0.4, rows=60), seed=trial).verdict for trial in range(60)
    ]
    assert sum(verdict != "tie" for verdict in verdicts) <= 8


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match=r"same rows.*\(3,\) and \(2,\)"):
        paired_test(np.zeros(3), np.zeros(2))
    with pytest.raises(DataError, match="row 1: expected a finite value, found nan"):
        bootstrap_interval(np.array([0.0, np.nan]))
    with pytest.raises(DataError, match="at least one row"):
        bootstrap_interval(np.array([]))
    with pytest.raises(DataError, match="3 hits of 2"):
        wilson_interval(3, 2)
    with pytest.raises(ConfigError, match="got 95"):
        wilson_interval(1, 2, level=95)
    with pytest.raises(ConfigError, match="resamples"):
        bootstrap_interval(np.ones(3), resamples=0)


def test_rows_of_one_user_count_as_one_observation() -> None:
    users = np.repeat(np.arange(20), 50)
    values = np.repeat((np.arange(20) % 2).astype(np.float64), 50)
    by_rows, by_users = known(bootstrap_interval(values)), known(bootstrap_interval(values, users=users))
    one_each = known(bootstrap_interval((np.arange(20) % 2).astype(np.float64)))
    assert by_users.method == "bootstrap over users"
    assert by_users.high - by_users.low > 5 * (by_rows.high - by_rows.low)
    assert by_users.high - by_users.low == pytest.approx(one_each.high - one_each.low, abs=0.05)


def test_users_with_more_rows_weigh_more_in_the_mean_over_rows() -> None:
    users = np.array([0] * 90 + [1] * 10)
    interval = bootstrap_interval(np.array([1.0] * 90 + [0.0] * 10), users=users)
    assert interval is not None
    assert 0.9 in interval
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_paired_test_flips_users_whole() -> None:
    users = np.repeat(np.arange(3), 100)
    better = paired_test(np.ones(300), np.zeros(300), users=users)
    assert better.p_value > 0.05
    assert better.verdict == "not decided", "three users decide nothing, however many rows they have"
    assert paired_test(np.ones(300), np.zeros(300)).verdict == "better"


def test_resampled_users_weigh_by_their_rows() -> None:
    """A mean of the users' means would be centered at .5, the mean over rows at .9."""
    counts = np.tile([90, 10], 20)
    users = np.repeat(np.arange(40), counts)
    interval = known(bootstrap_interval(np.repeat(np.tile([1.0, 0.0], 20), counts), users=users))
    drawn = np.random.default_rng(5).integers(40, size=(20_000, 40))
    means = (counts * np.tile([1.0, 0.0], 20))[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    assert [interval.low, interval.high] == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist(), abs=0.01)


def test_users_that_are_drawn_together_give_the_interval_of_users_drawn_one_by_one() -> None:
    rng = np.random.default_rng(2)
    users = np.sort(rng.integers(0, 400, 1000))
    hits = (rng.random(1000) < 0.2 + 0.5 * (users % 2)).astype(np.float64)
    together = bootstrap_interval(hits, users=users, resamples=40_000)
    one_by_one = bootstrap_interval(hits + users * 1e-9, users=users, resamples=40_000)
    assert together is not None
    assert one_by_one is not None
    assert [together.low, together.high] == pytest.approx([one_by_one.low, one_by_one.high], abs=1.5e-3)


def test_rows_of_few_users_cannot_win_by_being_many() -> None:
    """12 users disagree; taken as 1,200 users their rows would name a winner."""
    users = np.repeat(np.arange(12), 100)
    differences = np.repeat(np.array([0.3] * 7 + [-0.2] * 5), 100)
    as_users = paired_test(differences, np.zeros(1200), users=users)
    assert as_users.verdict == "tie"
    assert known(as_users.interval).method == "t over users"
    assert paired_test(differences, np.zeros(1200)).verdict == "better"


@pytest.mark.parametrize(
    ("users", "ratio", "alike"), [(20, 0.05, 0.5), (10, 0.2, 3.0), (30, 0.9, 0.5), (49, 0.05, 0.5)]
)
def test_intervals_of_few_users_hold_the_truth(users: int, ratio: float, alike: float) -> None:
    """Each user has a hit ratio of their own and 20 draws; the bootstrap held the truth in 79 to 90 of 100."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(300):
        own = rng.beta(ratio * alike, (1 - ratio) * alike, users)
        found = hit_ratio_interval(rng.binomial(20, own) / 20)
        if found is not None:
            inside.append(ratio in found)
    assert len(inside) > 200
    assert np.mean(inside) >= 0.94


def test_many_users_are_resampled_unless_hardly_any_has_a_hit() -> None:
    rng = np.random.default_rng(0)
    often, seldom = rng.random(60), np.where(np.arange(60) < 3, 0.5, 0.0)
    assert known(hit_ratio_interval(often)).method == "bootstrap over rows"
    found = known(hit_ratio_interval(seldom))
    assert found.method == "wilson over users"
    low, high = wilson_interval(2, 60).low, wilson_interval(2, 60).high  # 1.5 hits of 60 users
    assert found.low < low
    assert found.high < high
    assert found.high > wilson_interval(1, 60).high


def test_independent_rows_have_the_interval_of_as_many_rows() -> None:
    """Users with many independent rows: as wide as Wilson's of all rows, up to what is not known of the variance."""
    rng = np.random.default_rng(1)
    hits = (rng.random(40 * 500) < 0.3).astype(float)
    found = known(hit_ratio_interval(hits, users=np.repeat(np.arange(40), 500)))
    of_rows = wilson_interval(int(hits.sum()), len(hits))
    assert (found.high - found.low) / (of_rows.high - of_rows.low) == pytest.approx(1.0, abs=0.35)


def test_differences_of_few_users_have_students_interval() -> None:
    differences = np.array([0.1, 0.3, -0.1, 0.2, 0.4, 0.0])
    found = known(paired_test(differences, np.zeros(6)).interval)
    half = 2.5706 * differences.std(ddof=1) / np.sqrt(6)  # t of 5 degrees of freedom
    assert found.low == pytest.approx(differences.mean() - half, abs=1e-4)
    assert found.high == pytest.approx(differences.mean() + half, abs=1e-4)
    twice = known(paired_test(np.repeat(differences, 3), np.zeros(18), users=np.repeat(np.arange(6), 3)).interval)
    assert twice.low == pytest.approx(found.low)
    worse = known(paired_test(-differences, np.zeros(6)).interval)
    assert worse.low == pytest.approx(-found.high)
    assert worse.high == pytest.approx(-found.low)
