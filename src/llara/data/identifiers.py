"""Identifiers of users and items: integers or strings, as the source has them."""

from bisect import bisect_left
from collections.abc import Mapping

from llara.errors import DataError

Id = int | str


def find_id(wanted: Id, index: Mapping[Id, int], *, what: str) -> int:
    """The index of an identifier; "50" also finds the integer 50, and 50 the string "50".

    Args:
        wanted: The identifier asked for.
        index: Identifier to index; all identifiers are integers, or all are strings.
        what: What is identified ("item", "user"), for the message.

    Raises:
        DataError: If there is no such identifier; the message names the nearest ones.
    """
    for candidate in _spellings(wanted):
        if candidate in index:
            return index[candidate]
    near = ", ".join(repr(id_) for id_ in nearest_ids(wanted, index))
    raise DataError(
        f"{what} {wanted!r} is unknown among the {len(index):,} {what}s. The nearest identifiers are {near}."
    )


def nearest_ids(wanted: Id, known: Mapping[Id, int], count: int = 3) -> list[Id]:
    """The known identifiers beside `wanted` in sorted order: by number for integers, else alphabetically."""
    integers = [id_ for id_ in known if isinstance(id_, int)]
    if integers:
        try:
            place = float(wanted)
        except ValueError:
            return list(sorted(integers)[:count])
        return list(sorted(integers, key=lambda id_: (abs(id_ - place), id_))[:count])
    texts = sorted(str(id_) for id_ in known)
    start = max(0, min(bisect_left(texts, str(wanted)) - 1, len(texts) - count))
    return list(texts[start : start + count])


def _spellings(wanted: Id) -> list[Id]:
    if isinstance(wanted, str):
        text = wanted.strip()
        number: list[Id] = [int(text)] if text.lstrip("-").isdecimal() and text.count("-") <= 1 else []
        return [wanted, text, *number]
    return [int(wanted), str(wanted)]
