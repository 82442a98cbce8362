"""`llara recommend`: from what a person types to a ranking."""

from pathlib import Path

from llara.cli.runs import read_config, read_history
from llara.errors import ConfigError
from llara.serve import Engine, Ranking


def recommend_from_run(run: Path, *, user: str | None, history: str | None, k: int, num_retrieved: int) -> Ranking:
    """Rank the catalog for a known user or a typed history.

    Raises:
        ConfigError: Unless exactly one of `user` and `history` is given.
        DataError: If the user or an item is unknown.
    """
    if (user is None) == (history is None):
        raise ConfigError("give either --user ID or --history ID,ID,... (item ids, oldest first), not both or neither.")
    config = read_config(run)
    items: list[int | str]
    if user is not None:
        items = read_history(run, user)
    else:
        assert history is not None
        items = [part.strip() for part in history.split(",") if part.strip()]
    engine = Engine.open(run, history_length=config.data.split.history_length, fold=False)
    return engine.recommend(items, k=k, num_retrieved=num_retrieved)
