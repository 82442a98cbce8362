"""A log of any size with the shape of real ones: few items are popular, few users are busy, rows stand in no order.

python -m benchmarks.generated_log FOLDER --rows 10000000
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, get_args

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

Form = Literal["csv", "parquet"]
IdKind = Literal["integer", "text"]

_ROWS_AT_ONCE = 1_000_000
_FIRST_MOMENT, _LAST_MOMENT = 1_000_000_000, 1_700_000_000
_LOG_SHAPE, _CHUNK = 0, 1


@dataclass(frozen=True, kw_only=True)
class LogShape:
    """What is generated; the same fields give the same files."""

    rows: int
    users: int
    """Each of them has at least one interaction; how busy they are is log-normal."""
    items: int
    """The popularity of the r-th is proportional to 1 / r (Zipf)."""
    form: Form = "csv"
    ids: IdKind = "integer"
    seed: int = 0

    @property
    def interactions_name(self) -> str:
        return f"interactions.{self.form}"


def main() -> None:
    """Generate the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--form", choices=get_args(Form), default="csv")
    parser.add_argument("--ids", choices=get_args(IdKind), default="integer")
    parser.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args())
    write_log(options.pop("folder"), LogShape(**options))


def write_log(folder: Path, shape: LogShape) -> None:
    """Write `interactions.csv` or `.parquet` and `items.csv`, chunk by chunk; files that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (("items.csv", _write_items), (shape.interactions_name, _write_interactions)):
        if not (folder / name).exists():
            partial = folder / f"{name}.{os.getpid()}.partial"
            try:
                write(partial, shape)
                partial.rename(folder / name)
            finally:
                with suppress(FileNotFoundError):
                    partial.unlink()


def chunks(shape: LogShape, *, rows_at_once: int = _ROWS_AT_ONCE) -> Iterator[pl.DataFrame]:
    """The interactions, `rows_at_once` at a time: `user_id`, `item_id`, `rating`, `timestamp`."""
    rng = np.random.default_rng([shape.seed, _LOG_SHAPE])
    activity = _cumulative(rng.lognormal(sigma=1.0, size=shape.users))
    popularity = _cumulative(1.0 / np.arange(1, shape.items + 1))
    item_numbers = rng.permutation(shape.items)  # popularity does not follow the identifier
    first_row_of = rng.permutation(shape.users)
    for start in range(0, shape.rows, rows_at_once):
        count = min(rows_at_once, shape.rows - start)
        rng = np.random.default_rng([shape.seed, _CHUNK, start])
        users = np.searchsorted(activity, rng.random(count), side="right")
        newcomers = first_row_of[start : start + count]
        users[: len(newcomers)] = newcomers
        items = item_numbers[np.searchsorted(popularity, rng.random(count), side="right")]
        yield pl.DataFrame(
            {
                "user_id": _identifiers(users, "u", shape.ids),
                "item_id": _identifiers(items, "i", shape.ids),
                "rating": rng.integers(1, 6, count),
                "timestamp": rng.integers(_FIRST_MOMENT, _LAST_MOMENT, count),
            }
        )


def _write_interactions(path: Path, shape: LogShape) -> None:
    if shape.form == "csv":
        with path.open("wb") as file:
            _write_csv(file, shape)
        return
    writer = None
    for chunk in chunks(shape):
        table = chunk.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _write_csv(file: IO[bytes], shape: LogShape) -> None:
    for place, chunk in enumerate(chunks(shape)):
        chunk.write_csv(file, include_header=place == 0)


def _write_items(path: Path, shape: LogShape) -> None:
    numbers = np.arange(shape.items)
    items = pl.DataFrame(
        {
            "item_id": _identifiers(numbers, "i", shape.ids),
            "title": pl.select(pl.format("The {} Item, Volume {}", pl.lit(numbers // 7), pl.lit(numbers))).to_series(),
            "year": 1950 + numbers % 75,
        }
    )
    items.write_csv(path)


def _identifiers(numbers: NDArray[np.int64], letter: str, kind: IdKind) -> pl.Series:
    """Numbers from 1, or texts of fourteen characters, as long as a shop's."""
    values = pl.Series(numbers + 1)
    if kind == "integer":
        return values
    return values.cast(pl.String).str.zfill(13).str.replace("^", letter)


def _cumulative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    cumulative: NDArray[np.float64] = np.cumsum(weights)
    cumulative /= cumulative[-1]
    return cumulative


if __name__ == "__main__":
    main()
