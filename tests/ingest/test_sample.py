"""The bundled sample: facts about the books, and what the simulated readers owe to text, circles and chance."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import load_dataset
from llara.errors import ConfigError, DataError
from llara.ingest.sample import SUBJECTS, ReaderConfig, hidden_circles, load_books, make_sample, simulate_readers
from llara.ingest.sample.books import resemblance, sequel_of, subject_matrix


@pytest.fixture(scope="module")
def books() -> pl.DataFrame:
    return load_books()


@pytest.fixture(scope="module")
def readings(books: pl.DataFrame) -> pl.DataFrame:
    return simulate_readers(books, seed=0)


def row_of(books: pl.DataFrame, title: str) -> int:
    return books["title"].to_list().index(title)


def test_the_catalog_has_400_to_500_books_with_unique_ids_and_titles(books: pl.DataFrame) -> None:
    assert books.columns == ["item_id", "title", "author", "year", "subjects"]
    assert 400 <= len(books) <= 500
    assert books["item_id"].n_unique() == len(books)
    assert books["title"].str.to_lowercase().n_unique() == len(books)
    assert not books.null_count().sum_horizontal().item()


def test_every_book_is_old_enough_and_text_is_clean(books: pl.DataFrame) -> None:
    assert books["year"].max() < 1929  # type: ignore[operator]
    for column in ("title", "author", "subjects"):
        assert (books[column] == books[column].str.strip_chars()).all()
        assert (books[column] != "").all()


def test_subjects_are_one_to_four_different_ones_of_the_list(books: pl.DataFrame) -> None:
    subjects = books["subjects"].str.split("|")
    assert subjects.list.len().is_between(1, 4).all()
    assert (subjects.list.n_unique() == subjects.list.len()).all()
    assert set(subjects.explode()) == set(SUBJECTS)


@pytest.mark.parametrize(
    ("title", "author", "year"),
    [
        ("Frankenstein", "Mary Shelley", 1818),
        ("Moby-Dick", "Herman Melville", 1851),
        ("Crime and Punishment", "Fyodor Dostoevsky", 1866),
        ("The Wonderful Wizard of Oz", "L. Frank Baum", 1900),
        ("Ulysses", "James Joyce", 1922),
    ],
)
def test_well_known_facts_are_right(books: pl.DataFrame, title: str, author: str, year: int) -> None:
    assert books.row(row_of(books, title), named=True) | {"author": author, "year": year} == books.row(
        row_of(books, title), named=True
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ozma of Oz", "Dorothy and the Wizard in Oz"),
        ("A Princess of Mars", "The Gods of Mars"),
        ("Tarzan of the Apes", "The Return of Tarzan"),
        ("Little Women", "Little Men"),
        ("A Study in Scarlet", "The Sign of the Four"),
        ("The Three Musketeers", "Twenty Years After"),
    ],
)
def test_series_continue_in_order(books: pl.DataFrame, first: str, second: str) -> None:
    assert sequel_of(books)[row_of(books, first)] == row_of(books, second)


def test_resemblance_by_hand() -> None:
    books = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "title": ["A", "B"],
            "author": ["X", "X"],
            "year": [1870, 1900],
            "subjects": ["war|satire", "war"],
        }
    )
    np.testing.assert_allclose(resemblance(books), [[1.0, 0.65], [0.65, 1.0]])  # 0.5 * 1/2 + 0.3 + 0.2 * 1/2


def test_an_unknown_subject_is_named_with_its_row(books: pl.DataFrame) -> None:
    changed = books.head(2).with_columns(pl.Series("subjects", ["war", "cooking"]))
    with pytest.raises(DataError, match=r"row 2: unknown subject 'cooking'"):
        subject_matrix(changed)


def test_a_missing_column_is_named(books: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="column 'author' is missing"):
        subject_matrix(books.drop("author"))


def test_the_same_seed_gives_the_same_readers(books: pl.DataFrame) -> None:
    again = [simulate_readers(books, seed=3, num_readers=40) for _ in range(2)]
    assert again[0].equals(again[1])


def test_different_seeds_differ(books: pl.DataFrame) -> None:
    one, other = (simulate_readers(books, seed=seed, num_readers=40) for seed in (3, 4))
    assert not one.equals(other)
    assert (hidden_circles(len(books), seed=3)[0] != hidden_circles(len(books), seed=4)[0]).any()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), shortest=st.integers(1, 8), num_readers=st.integers(1, 30))
def test_readers_never_repeat_a_book_and_time_only_goes_on(seed: int, shortest: int, num_readers: int) -> None:
    config = ReaderConfig(min_length=shortest, mean_length=10.0, max_length=12)
    log = simulate_readers(load_books(), seed=seed, num_readers=num_readers, config=config)
    lengths = log.group_by("user_id").len()["len"]
    assert len(lengths) == num_readers
    assert lengths.is_between(shortest, 12).all()
    assert log.select("user_id", "item_id").n_unique() == len(log)
    gaps = log.select(pl.col("timestamp").diff().over("user_id"))["timestamp"].drop_nulls()
    assert (gaps > 0).all()


def test_lengths_vary_around_sixteen(readings: pl.DataFrame) -> None:
    lengths = readings.group_by("user_id").len()["len"].to_numpy()
    assert len(lengths) == 1500
    assert lengths.min() == 5
    assert lengths.max() <= 60
    assert 15.0 < lengths.mean() < 17.0
    assert lengths.std() > 6.0
    assert readings.schema["timestamp"] == pl.Int64


def test_a_few_books_are_popular_and_many_are_not(readings: pl.DataFrame) -> None:
    counts = np.sort(readings.group_by("item_id").len()["len"].to_numpy())[::-1]
    assert counts[:50].sum() > 0.3 * counts.sum()
    assert np.median(counts) < 0.7 * counts.mean()


def test_titles_and_facts_do_not_give_the_circle_away(books: pl.DataFrame) -> None:
    circle, _ = hidden_circles(len(books), seed=0)
    for fact in (books["author"].to_numpy(), books["subjects"].str.split("|").list.first().to_numpy()):
        together = fact[:, None] == fact[None, :]
        np.fill_diagonal(together, val=False)
        same_circle = circle[:, None] == circle[None, :]
        assert abs(same_circle[together].mean() - 1 / 16) < 0.02


def test_circles_have_equal_sizes_and_reading_lists() -> None:
    circle, place = hidden_circles(50, seed=1, num_circles=4)
    assert sorted(np.bincount(circle)) == [12, 12, 13, 13]
    for number in range(4):
        assert sorted(place[circle == number]) == list(range((circle == number).sum()))


def test_the_next_book_is_often_of_the_same_circle_and_often_similar(
    books: pl.DataFrame, readings: pl.DataFrame
) -> None:
    circle, _ = hidden_circles(len(books), seed=0)
    last, following = consecutive(books, readings)
    alike = resemblance(books)
    assert (circle[last] == circle[following]).mean() > 4 / 16
    assert alike[last, following].mean() > 1.5 * alike.mean()


def test_without_circles_and_resemblance_neither_shows(books: pl.DataFrame) -> None:
    only_chance = ReaderConfig(
        sequel_ratio=0.0, resemblance_ratio=0.0, circle_ratio=0.0, taste_ratio=0.0, chance_ratio=1.0, fame_exponent=0.0
    )
    circle, _ = hidden_circles(len(books), seed=0)
    last, following = consecutive(books, simulate_readers(books, seed=0, num_readers=400, config=only_chance))
    assert abs((circle[last] == circle[following]).mean() - 1 / 16) < 0.02


def consecutive(books: pl.DataFrame, readings: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of each book and of the one that the same reader took next."""
    index = pl.col("item_id").replace_strict(books["item_id"].to_list(), list(range(len(books))))
    pairs = readings.select(index.alias("last"), index.shift(-1).over("user_id").alias("following")).drop_nulls()
    return pairs["last"].to_numpy(), pairs["following"].to_numpy()


def test_behavior_and_text_each_beat_popularity_and_together_beat_both(
    books: pl.DataFrame, readings: pl.DataFrame
) -> None:
    by_first_book = readings.sort(pl.col("timestamp").min().over("user_id"), "timestamp", maintain_order=True)
    last, following = consecutive(books, by_first_book)
    train = np.arange(len(last)) < 0.8 * len(last)
    num_books = len(books)
    pairs = np.zeros((num_books, num_books))
    np.add.at(pairs, (last[train], following[train]), 1.0)
    fame = np.bincount(following[train], minlength=num_books) + 1.0
    text = resemblance(books)
    expected = fame * np.exp(4.0 * text)  # what to expect of a pair that nobody has read yet
    expected /= expected.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    candidates = np.column_stack([following[~train], rng.integers(num_books, size=((~train).sum(), 19))])

    def hit_ratio(score: np.ndarray) -> float:
        scores = score[last[~train, None], candidates]
        return float((scores[:, :1] > scores[:, 1:]).all(axis=1).mean())

    popularity = hit_ratio(np.broadcast_to(fame, text.shape))
    behavior = hit_ratio(pairs + 4.0 * fame / fame.sum())
    assert popularity + 0.05 < hit_ratio(text)
    assert hit_ratio(text) + 0.05 < behavior
    assert behavior + 0.01 < hit_ratio(pairs + 4.0 * expected)


def test_the_sample_is_a_dataset_folder(tmp_path: Path) -> None:
    info = make_sample(tmp_path / "sample", seed=1)
    dataset = load_dataset(tmp_path / "sample")
    assert (info.noun, info.num_users, info.num_items) == ("book", 1500, len(load_books()))
    assert dataset.info == info
    assert info.origin["seed"] == 1
    assert "simulated" in str(info.origin["interactions"])


def test_an_existing_sample_is_replaced_only_with_force(tmp_path: Path) -> None:
    first = make_sample(tmp_path / "sample", seed=1)
    with pytest.raises(ConfigError):
        make_sample(tmp_path / "sample", seed=2)
    assert make_sample(tmp_path / "sample", seed=2, force=True).interactions_sha256 != first.interactions_sha256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"circle_ratio": 0.9}, "sum to 1"),
        ({"num_circles": 0}, "num_circles must be >= 1, got 0"),
        ({"fame_exponent": -1.0}, "fame_exponent must be >= 0"),
        ({"late_ratio": 1.5}, r"late_ratio must be in \[0, 1\]"),
        ({"min_length": 20}, "min_length <= mean_length"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReaderConfig(**settings)  # type: ignore[arg-type]


def test_too_few_books_or_readers_are_refused(books: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="max_length = 60 on the shelves from the start, found 5 of 10"):
        simulate_readers(books.head(10), seed=0)
    with pytest.raises(ConfigError, match="num_readers must be >= 1"):
        simulate_readers(books, seed=0, num_readers=0)


def test_a_negative_seed_is_refused(books: pl.DataFrame) -> None:
    with pytest.raises(ConfigError, match="seed must be >= 0, got -1"):
        simulate_readers(books, seed=-1)
