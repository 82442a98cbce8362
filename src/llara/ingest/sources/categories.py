"""Collections of data sets: one category of several, each with files of its own."""

from collections.abc import Sequence

from llara.errors import DataError
from llara.ingest.sources.source import RawFiles


def chosen_category(files: RawFiles, wanted: str | None, *, logs: Sequence[str], items: str) -> str:
    """The category that is asked for, or the only one that has both its interactions and its items.

    Args:
        files: What there is.
        wanted: Its name; None: the only one there.
        logs: Names that a file of interactions can have, "*" in place of the category.
        items: The same for the file of items.

    Raises:
        DataError: If none is asked for and there is not exactly one.
    """
    if wanted is not None:
        return wanted
    with_log = {category for pattern in logs for category in files.variants(pattern)}
    with_items = set(files.variants(items))
    both = sorted(with_log & with_items)
    if len(both) == 1:
        return both[0]
    if both:
        raise DataError(f"{files.path} holds several categories: {', '.join(both)}. Name one with --category.")
    raise DataError(
        f"{files.path} has no category with both its interactions ({' or '.join(logs)}) and its items ({items}); "
        f"found interactions of {_listed(with_log - with_items)}, items of {_listed(with_items)}. Get both files."
    )


def _listed(categories: set[str]) -> str:
    return ", ".join(sorted(categories)[:8]) or "none"
