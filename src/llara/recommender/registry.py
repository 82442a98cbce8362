"""Which recommenders there are: to add one, write its file, add a line to each table and a field for its config."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llara.data.limits import PositiveInt, check_limits
from llara.data.sequences import IntArray
from llara.errors import ConfigError
from llara.recommender.base import Recommender
from llara.recommender.caser import Caser, CaserConfig
from llara.recommender.fit import FitConfig
from llara.recommender.gru4rec import GRU4Rec, GRU4RecConfig
from llara.recommender.imported import ImportedEmbeddings
from llara.recommender.popularity import Popularity
from llara.recommender.sasrec import SASRec, SASRecConfig
from llara.recommender.vector_files import ImportedConfig, import_embeddings


@dataclass(frozen=True, kw_only=True)
class RecommenderConfig:
    """Which recommender stands beside the language model, its shape, and how it is fitted."""

    name: Literal["sasrec", "gru4rec", "caser", "imported"] = "sasrec"
    """Which one; only the settings under its own name are used."""
    embedding_dim: PositiveInt = 64
    """Width R of the item vectors, >= 1. LLaRA uses 64. Imported embeddings bring their own."""
    sasrec: SASRecConfig = field(default_factory=SASRecConfig)
    gru4rec: GRU4RecConfig = field(default_factory=GRU4RecConfig)
    caser: CaserConfig = field(default_factory=CaserConfig)
    imported: ImportedConfig = field(default_factory=ImportedConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        check_limits(self, "recommender")
        if self.name == "sasrec" and self.embedding_dim % self.sasrec.heads:
            raise ConfigError(
                f"recommender.sasrec.heads must divide recommender.embedding_dim = {self.embedding_dim}, "
                f"got {self.sasrec.heads}"
            )


_BUILDERS: Mapping[str, Callable[[RecommenderConfig, int], Recommender]] = {
    "sasrec": lambda config, n: SASRec(n, config.sasrec, width=config.embedding_dim, seed=config.fit.seed),
    "gru4rec": lambda config, n: GRU4Rec(n, config.gru4rec, width=config.embedding_dim, seed=config.fit.seed),
    "caser": lambda config, n: Caser(n, config.caser, width=config.embedding_dim, seed=config.fit.seed),
}

RECOMMENDERS: Mapping[str, type[Recommender]] = {
    kind.name: kind for kind in (SASRec, GRU4Rec, Caser, ImportedEmbeddings, Popularity)
}
"""Every recommender that can be saved and loaded, by name."""


def build_recommender(
    config: RecommenderConfig,
    *,
    num_items: int,
    row_of_item_index: IntArray | None = None,
    item_ids: Sequence[int | str] | None = None,
) -> Recommender:
    """The configured recommender, not yet fitted; `config.fit.seed` decides its initial weights.

    Args:
        config: Settings.
        num_items: Catalog size, without padding, >= 1.
        row_of_item_index: Only for imported embeddings, see `import_embeddings`.
        item_ids: Only for imported embeddings, see `import_embeddings`.

    Raises:
        ConfigError, DataError: If imported embeddings cannot be read or do not fit the catalog.
    """
    if config.name == "imported":
        return import_embeddings(
            config.imported, num_items=num_items, row_of_item_index=row_of_item_index, item_ids=item_ids
        )
    return _BUILDERS[config.name](config, num_items)
