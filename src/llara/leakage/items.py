"""Leaks in the catalog's titles and in the order of histories: what a data set gives away however it is split."""

import numpy as np

from llara.data.folder import Dataset
from llara.data.sequences import IntArray
from llara.leakage.finding import LeakageFinding, Level, of, percent
from llara.leakage.hidden_order import Agreement, counts_interactions, order_agreement
from llara.leakage.shown_order import Order, nearest_orders

_SHOWN = (
    ": histories are ordered by item, not by time. Who sees that order can guess targets, and results measure it. "
    "Import the log with real times."
)
_HIDDEN = (
    ": histories are sorted by something that the data set does not show, not by time. Who learns that order can guess "
    "targets, and results measure it. Import the log with real times; or allow this, if items can only be had in one "
    "order."
)
_TIED = (
    "; {share} of all neighbors have equal times. There, histories are ordered by item, and results measure that "
    "order. Import the log with --ties shuffle."
)
_IN_TIME = (
    ". Time explains it: of two items that two users have in common, both had the one before either had the other "
    "{apart} times. But negatives from other times are easy to tell from targets, so results measure in part who knows "
    "what is new."
)


def check_duplicate_titles(dataset: Dataset) -> LeakageFinding:
    """Items that text alone cannot tell apart."""
    titles = dataset.catalog.titles[1:]
    repeated = len(titles) - len(set(titles))
    numbers = {"repeated_titles": repeated, "items": len(titles)}
    if repeated == 0:
        return LeakageFinding("duplicate-titles", "ok", "every item has a title of its own.", numbers)
    return LeakageFinding(
        "duplicate-titles",
        "note",
        f"{of(repeated, len(titles))} items repeat the title of another one. Answers are compared by item, so nothing "
        "breaks, but text alone cannot tell these items apart; metadata in prompt.item_text can.",
        numbers,
    )


def check_item_order(dataset: Dataset, *, seed: int) -> LeakageFinding:
    """Histories that are sorted by item instead of by time, as a whole or wherever times are equal.

    Real histories rise and fall by the item's number about equally often: 50 to 54 % of the neighbors follow it in
    MovieLens, Steam, Amazon and Goodreads. In the released LastFM rows all of them follow the artist's number, and so
    do those of equal time, 88 %, in Last.fm's own events. More than 90 % is refused. Where nothing shows the order,
    users who agree on it do: more than 98 % in `order_agreement` is refused as well.

    Histories follow a catalog that is numbered by date of release, too, where users take the newest. If times are
    moments, that can be told apart (`Agreement.is_in_time`) and is a warning. It cannot where times count interactions
    or belong to the items, and not for equal times, among which no order is one of time.
    """
    log, num_items = dataset.log, dataset.catalog.num_items
    first = neighbors(log.sequences.offsets)
    tied = first[log.timestamps[first] == log.timestamps[first + 1]]
    whole, ties = nearest_orders(dataset.catalog, log.sequences.items, first=first, tied=tied, seed=seed)
    users = order_agreement(log, num_items=num_items, seed=seed)
    tied_users = order_agreement(log, num_items=num_items, seed=seed, tied=True)
    numbers: dict[str, object] = {"order": whole.name, "share": whole.share, "neighbors": whole.pairs}
    numbers |= {"agreeing_share": users.share, "agreement_pairs": users.compared}
    if len(tied):
        numbers |= {"tied_order": ties.name, "tied_share": ties.share, "tied_neighbors": ties.pairs}
        numbers |= {"tied_agreeing_share": tied_users.share, "tied_agreement_pairs": tied_users.compared}
    in_time = users.is_in_time and dataset.has_times and not counts_interactions(log, first)
    if whole.is_a_leak or users.is_a_leak:
        numbers |= {"in_time": in_time, "in_time_share": users.apart / max(1, users.dated)}
    apart = of(users.apart, users.dated) if in_time else None
    tied_share = percent(len(tied) / max(1, len(first)))
    found = [
        *_sorted_findings(whole, ties, apart=apart, tied_share=tied_share),
        *_sorted_findings(users, tied_users, apart=apart, tied_share=tied_share),
    ]
    if found:
        level, message = min(found, key=lambda finding: finding[0] != "leak")  # the first leak, else the first warning
        return LeakageFinding("item-order", level, message, numbers)
    message = f"no order of the items decides the order of histories (nearest: {whole.name}, {percent(whole.share)})."
    return LeakageFinding("item-order", "ok", message, numbers)


def _sorted_findings(
    history: Order | Agreement, ties: Order | Agreement, *, apart: str | None, tied_share: str
) -> list[tuple[Level, str]]:
    """What is sorted: histories, equal times, or both; then that comes first which is sorted more strictly."""
    found: list[tuple[Level, str]] = []
    if history.is_a_leak and apart is not None:
        found.append(("warning", f"{_what_follows(history)}{_IN_TIME.format(apart=apart)}"))
    elif history.is_a_leak:
        remedy = _SHOWN if isinstance(history, Order) else _HIDDEN
        found.append(("leak", f"{_what_follows(history)}{remedy}"))
    if ties.is_a_leak:
        message = f"{_what_follows(ties, ' with equal times')}{_TIED.format(share=tied_share)}"
        found.insert(0 if ties.share > history.share else len(found), ("leak", message))
    return found


def _what_follows(order: Order | Agreement, which: str = "") -> str:
    if isinstance(order, Order):
        pairs = of(order.following, order.pairs)
        return f"{pairs} neighboring interactions of a user{which} follow the order of {order.name}"
    times = of(order.agreeing, order.compared)
    return f"users who have two items{which} in common had them in the same order {times} times"


def neighbors(offsets: IntArray) -> IntArray:
    """Positions whose next position belongs to the same user."""
    is_last = np.zeros(offsets[-1], dtype=bool)
    is_last[offsets[1:] - 1] = True
    return np.flatnonzero(~is_last)
