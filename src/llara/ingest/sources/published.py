"""Publishers' tables: whether they have what is expected of them, and their interactions by the names that we use."""

import polars as pl

from llara.data.columns import id_column, number_column
from llara.data.tables import Table, listed
from llara.data.times import TimeUnit, time_column
from llara.errors import DataError

_OPTION = "the column name"


def having(table: Table, *names: str) -> Table:
    """The same table, once it is known to have the named columns.

    Raises:
        DataError: If there is no such column, or it is empty in every row, as a field is that no line of a file has.
    """
    for name in names:
        if name not in table.frame.columns:
            reason = f"{table.source} has no column {name!r}; found {listed(table.names or table.frame.columns)}"
        elif table.frame[name].null_count() == len(table.frame) > 0:
            reason = f"{table.source}: {name!r} is missing or empty in all {len(table.frame):,} rows"
        else:
            continue
        raise DataError(f"{reason}. Is it the publisher's file, complete and unchanged?")
    return table


def interactions_of(
    table: Table, *, user: str, item: str, time: str, rating: str | None = None, unit: TimeUnit | None = "s"
) -> Table:
    """`user_id`, `item_id`, `timestamp` and, where there is one, `rating`, by the types of a dataset folder.

    Args:
        table: A row per interaction.
        user: Column of the user.
        item: Column of the item.
        time: Column of the time.
        rating: Column of the rating; None: there are no ratings.
        unit: What the times count, as for `time_column`.

    Raises:
        UnclearTimeUnitError: If `unit` is None and times are hardly seconds.
        DataError: If a column is missing, or a value is malformed; the message names its row.
    """
    having(table, user, item, time, *([] if rating is None else [rating]))
    columns = [
        id_column(table, user, _OPTION).alias("user_id"),
        id_column(table, item, _OPTION).alias("item_id"),
        time_column(table, time, _OPTION, unit=unit),
    ]
    if rating is not None:
        columns.append(number_column(table, rating, _OPTION).alias("rating"))
    return table.with_frame(pl.DataFrame(columns))


def where_filled(table: Table, name: str) -> tuple[Table, int]:
    """The rows whose text in a column is not blank, and how many others there are."""
    return leaving_out((having(table, name).frame[name].str.strip_chars() == "").fill_null(value=True), table)


def leaving_out(unfit: pl.Series, table: Table) -> tuple[Table, int]:
    """The rows where `unfit` is false, and how many others there are."""
    count = int(unfit.sum())
    return table.filter(~unfit) if count else table, count
