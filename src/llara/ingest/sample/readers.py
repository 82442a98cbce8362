"""Simulated readers: a plain, seeded process with taste that shows in a book's text and taste that does not."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from llara.data.folder import DatasetInfo, write_dataset
from llara.data.sequences import IntArray
from llara.errors import ConfigError, DataError
from llara.ingest.sample.books import SUBJECTS, FloatArray, load_books, resemblance, sequel_of, subject_matrix

TASTE_GROUPS = {
    "nursery": ("children", "fairy tales", "fantasy", "nature"),
    "high seas": ("adventure", "sea stories", "western", "travel", "historical novel"),
    "mystery": ("detective", "gothic", "short stories"),
    "study": ("philosophy", "politics", "religion", "history", "biography"),
    "drawing room": ("romance", "social novel", "humor"),
    "stage": ("drama", "poetry", "satire", "humor"),
    "wonder": ("science fiction", "fantasy", "gothic", "adventure"),
}
"""What readers of a group look for. Each reader belongs to one group and adds whims of their own."""

_TASTE, _CHANCE = 3, 4  # places of "taste" and "chance" among the reasons; those before look back at the last books
_RECENCY = (0.6, 0.25, 0.15)  # weight of the last book, the one before, and the third last
_SEQUEL_PULL = 20.0
_RESEMBLANCE_PULL = 22.0
_CIRCLE_PULL = 10.0
_NEXT_PULL = 6.0
_NEXT_FADE = 0.7
_TASTE_PULL = 4.0
_WHIM = 0.5
_NEW_PULL = 2.5
_NEW_DAYS = 150.0
_LATENESS = 0.4
_LENGTH_SHAPE = 1.2
_START = 1_577_836_800  # 2020-01-01
_DAY = 86_400
_GAP_DAYS = 9.0
_FIRST_BOOKS_DAYS = 1000.0


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Strengths of the simulation. The five `*_ratio` settings are the shares of reasons for choosing the next book."""

    sequel_ratio: float = 0.10
    """Continue the author: the sequel of one of the last books, where there is one."""
    resemblance_ratio: float = 0.24
    """A book like the last ones by subject, author and time."""
    circle_ratio: float = 0.48
    """What the hidden circle of the last books reads, mostly the next on its list."""
    taste_ratio: float = 0.12
    """What the reader's own subjects suggest, whatever was read last."""
    chance_ratio: float = 0.06
    """Fame alone."""
    num_circles: int = 16
    """Hidden circles into which the books are dealt at random, at least 1."""
    fame_exponent: float = 1.1
    """Exponent of the Zipf law of fame, at least 0; fame is dealt at random as well."""
    late_ratio: float = 0.50
    """Share of the books, in [0, 1], that reach the shelves while the log runs: new books have few readers yet."""
    min_length: int = 5
    """Fewest books of a reader, at least 1."""
    mean_length: float = 16.0
    """Mean number of books of a reader, at least `min_length`."""
    max_length: int = 60
    """Most books of a reader, at least `min_length`."""

    def __post_init__(self) -> None:
        ratios = self.reason_ratios
        if min(ratios) < 0.0 or abs(sum(ratios) - 1.0) > 1e-6:
            raise ConfigError(f"the five *_ratio settings must be >= 0 and sum to 1, got {ratios}")
        if self.num_circles < 1:
            raise ConfigError(f"num_circles must be >= 1, got {self.num_circles}")
        if self.fame_exponent < 0.0:
            raise ConfigError(f"fame_exponent must be >= 0, got {self.fame_exponent}")
        if not 0.0 <= self.late_ratio <= 1.0:
            raise ConfigError(f"late_ratio must be in [0, 1], got {self.late_ratio}")
        if not 1 <= self.min_length <= self.mean_length <= self.max_length:
            raise ConfigError(
                "lengths must satisfy 1 <= min_length <= mean_length <= max_length, got "
                f"{self.min_length}, {self.mean_length}, {self.max_length}"
            )

    @property
    def reason_ratios(self) -> tuple[float, float, float, float, float]:
        """Shares of the reasons, in the order sequel, resemblance, circle, taste, chance."""
        return (
            self.sequel_ratio,
            self.resemblance_ratio,
            self.circle_ratio,
            self.taste_ratio,
            self.chance_ratio,
        )


@dataclass(frozen=True)
class _World:
    """What all readers share.

    Attributes:
        log_fame: Shape [books].
        arrival: Day on which a book reaches the shelves, -inf for those that were there before, shape [books].
        affinity: Pull from one book (row) to the next (column), per reason that looks at earlier books, shape
            [3, books + 1, books]; the last row stands for "no book" and pulls nowhere.
        taste: Pull of each reader's own subjects, shape [readers, books].
    """

    log_fame: FloatArray
    arrival: FloatArray
    affinity: FloatArray
    taste: FloatArray


def hidden_circles(num_books: int, *, seed: int, num_circles: int = 16) -> tuple[IntArray, IntArray]:
    """Deal books into hidden circles, each with a reading list.

    Neither depends on anything but the seed, so no title, author, year or subject tells a book's circle.

    Args:
        num_books: Number of books.
        seed: The seed that `simulate_readers` gets.
        num_circles: Number of circles; their sizes differ by at most one.

    Returns:
        Circle of each book, in [0, num_circles), and its place on the circle's list from 0, both of shape [num_books].
    """
    deal = np.random.default_rng([seed, 1]).permutation(num_books)
    return deal % num_circles, deal // num_circles


def simulate_readers(
    books: pl.DataFrame, *, seed: int, num_readers: int = 1500, config: ReaderConfig | None = None
) -> pl.DataFrame:
    """Let simulated readers choose books, one after the other.

    For every next book a reader draws a reason (`ReaderConfig`), scores all unread books by fame plus the pull of that
    reason, and draws one from the softmax. Nobody reads a book twice.

    Args:
        books: `item_id`, `title`, `author`, `year`, `subjects` as from `load_books`.
        seed: Only source of randomness, >= 0: same seed, same readers.
        num_readers: At least 1.
        config: Strengths of the simulation; the defaults are those of the bundled sample.

    Returns:
        `user_id` ("R0001", ...), `item_id`, `timestamp` (int64, seconds), sorted by reader and time; the timestamps of
        a reader are strictly ascending.

    Raises:
        DataError: If a reader could run out of books, or the books are malformed.
        ConfigError: If `num_readers` is below 1 or `seed` negative.
    """
    config = config or ReaderConfig()
    if num_readers < 1:
        raise ConfigError(f"num_readers must be >= 1, got {num_readers}")
    if seed < 0:
        raise ConfigError(f"seed must be >= 0, got {seed}")
    on_shelves = len(books) - int(config.late_ratio * len(books))
    if on_shelves <= config.max_length:
        raise DataError(
            f"books: expected more than max_length = {config.max_length} on the shelves from the start, "
            f"found {on_shelves} of {len(books)}; lower max_length or late_ratio."
        )
    rng = np.random.default_rng([seed, 2])
    world = _build_world(books, seed=seed, num_readers=num_readers, config=config, rng=rng)
    lengths = _draw_lengths(num_readers, config=config, rng=rng)
    days = _draw_days(lengths, rng=rng)
    reader, chosen = _read(world, days, config=config, rng=rng)
    return pl.DataFrame(
        {
            "user_id": [f"R{number + 1:04d}" for number in reader],
            "item_id": books["item_id"].gather(chosen),
            "timestamp": _START + (days[days < np.inf] * _DAY).astype(np.int64),
        }
    )


def make_sample(folder: Path, *, seed: int = 0, force: bool = False) -> DatasetInfo:
    """Write the sample as a dataset folder.

    Args:
        folder: Where to.
        seed: Seed of the simulated readers, >= 0.
        force: Replace an existing dataset folder.

    Raises:
        ConfigError: If the folder exists already and `force` is not given.
        DataError: If it cannot be written.
    """
    config = ReaderConfig()
    books = load_books()
    origin: dict[str, object] = {
        "source": "llara.ingest.sample",
        "items": "real public-domain books: title, author, year of first publication, subjects",
        "interactions": "simulated readers; results on them say nothing about real readers",
        "seed": seed,
        "readers": asdict(config),
    }
    interactions = simulate_readers(books, seed=seed, config=config)
    return write_dataset(
        folder, interactions=interactions, items=books, name="sample-books", noun="book", origin=origin, force=force
    )


def _build_world(
    books: pl.DataFrame, *, seed: int, num_readers: int, config: ReaderConfig, rng: np.random.Generator
) -> _World:
    num_books = len(books)
    fame_rank = rng.permutation(num_books) + 1
    affinity = np.zeros((3, num_books + 1, num_books))
    sequel = sequel_of(books)
    has_sequel = np.flatnonzero(sequel >= 0)
    affinity[0, has_sequel, sequel[has_sequel]] = _SEQUEL_PULL
    affinity[1, :num_books] = _RESEMBLANCE_PULL * resemblance(books)
    circle, place = hidden_circles(num_books, seed=seed, num_circles=config.num_circles)
    ahead = place[None, :] - place[:, None]  # [books, books], how far down the list
    onward = np.where(ahead > 0, _NEXT_PULL * _NEXT_FADE ** (ahead - 1.0), 0.0)
    affinity[2, :num_books] = np.where(circle[:, None] == circle[None, :], _CIRCLE_PULL + onward, 0.0)
    is_late = rng.permutation(num_books) < int(config.late_ratio * num_books)
    arrival = np.where(is_late, _FIRST_BOOKS_DAYS * rng.random(num_books) ** _LATENESS, -np.inf)
    taste = _draw_taste(books, num_readers, rng=rng)
    return _World(-config.fame_exponent * np.log(fame_rank), arrival, affinity, taste)


def _draw_taste(books: pl.DataFrame, num_readers: int, *, rng: np.random.Generator) -> FloatArray:
    """Pull of each reader's subjects on each book, shape [readers, books]."""
    wanted = np.array([[subject in group for subject in SUBJECTS] for group in TASTE_GROUPS.values()], dtype=np.float64)
    group = rng.integers(len(wanted), size=num_readers)
    preference = wanted[group] + _WHIM * rng.standard_normal((num_readers, len(SUBJECTS)))
    subjects = subject_matrix(books)
    share = subjects / subjects.sum(axis=1, keepdims=True)
    return np.asarray(_TASTE_PULL * (preference @ share.T), dtype=np.float64)


def _draw_lengths(num_readers: int, *, config: ReaderConfig, rng: np.random.Generator) -> IntArray:
    more = rng.gamma(_LENGTH_SHAPE, (config.mean_length - config.min_length + 0.5) / _LENGTH_SHAPE, size=num_readers)
    return np.minimum(config.min_length + more.astype(np.int64), config.max_length)


def _draw_days(lengths: IntArray, *, rng: np.random.Generator) -> FloatArray:
    """Days on which each reader takes a book, at least a minute apart, shape [readers, most books], inf where none."""
    shape = (len(lengths), lengths.max())
    days = np.maximum(rng.lognormal(np.log(_GAP_DAYS), 1.0, size=shape), 1.0 / 1440.0)
    days[:, 0] = rng.uniform(0.0, _FIRST_BOOKS_DAYS, size=len(lengths))
    return np.where(np.arange(shape[1]) < lengths[:, None], np.cumsum(days, axis=1), np.inf)


def _read(
    world: _World, days: FloatArray, *, config: ReaderConfig, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """All readers choose their n-th book at once, for n = 1, 2, ...; returns readers and books, both [interactions]."""
    num_readers, num_books = len(days), len(world.log_fame)
    chosen = np.full(days.shape, -1)
    unread = np.ones((num_readers, num_books), dtype=bool)
    recent = np.full((num_readers, len(_RECENCY)), num_books)  # latest first; num_books stands for "no book"
    for step in range(days.shape[1]):
        active = np.flatnonzero(days[:, step] < np.inf)
        reason = rng.choice(len(config.reason_ratios), size=len(active), p=config.reason_ratios)
        if step == 0:
            reason[:] = _TASTE
        age = days[active, step, None] - world.arrival  # [A, books], days on the shelves
        logits = world.log_fame + _NEW_PULL * 0.5 ** (age / _NEW_DAYS) + rng.gumbel(size=age.shape)
        looks_back = reason < len(world.affinity)
        for weight, book in zip(_RECENCY, recent[active[looks_back]].T, strict=True):
            logits[looks_back] += weight * world.affinity[reason[looks_back], book]
        logits[reason != _CHANCE] += world.taste[active[reason != _CHANCE]]
        picked = np.where(unread[active] & (age >= 0.0), logits, -np.inf).argmax(axis=1)
        chosen[active, step] = picked
        unread[active, picked] = False
        recent[active] = np.column_stack([picked, recent[active, :-1]])
    reader, column = np.nonzero(chosen >= 0)
    return reader, chosen[reader, column]
