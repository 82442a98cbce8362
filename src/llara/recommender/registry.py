"""Which recommenders there are: to add one, write its file and one `register_recommender` line, here or there."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from llara.data.limits import PositiveInt, check_limits
from llara.data.sequences import IntArray
from llara.errors import ConfigError
from llara.recommender.base import Recommender
from llara.recommender.caser import Caser, CaserConfig
from llara.recommender.counts import Counts, CountsConfig
from llara.recommender.ease import Ease, EaseConfig
from llara.recommender.fit import FitConfig
from llara.recommender.fusion import Fusion, FusionConfig
from llara.recommender.gru4rec import GRU4Rec, GRU4RecConfig
from llara.recommender.imported import ImportedEmbeddings
from llara.recommender.item_knn import ItemKNN, ItemKNNConfig
from llara.recommender.known import RECOMMENDERS
from llara.recommender.popularity import Popularity
from llara.recommender.sasrec import SASRec, SASRecConfig, require_heads_divide
from llara.recommender.text import TextConfig, TextSASRec, TextSimilarity, whitened
from llara.recommender.vector_files import ImportedConfig, import_embeddings

_SECTIONS = {
    "sasrec": "sasrec",
    "gru4rec": "gru4rec",
    "caser": "caser",
    "imported": "imported",
    "text": "text",
    "text-sasrec": "text",
    "counts": "counts",
    "ease": "ease",
    "item-knn": "item_knn",
    "fusion": "fusion",
}
"""Section of the settings of each recommender that has one."""
_READ_TEXT = ("text", "text-sasrec")


@dataclass(frozen=True, kw_only=True)
class RecommenderConfig:
    """Which recommender stands beside the language model, its shape, and how it is fitted."""

    name: str = "sasrec"
    """sasrec, gru4rec, caser, imported, text-sasrec (SASRec over vectors of the items' texts), text (similarity of
    texts), fusion (a weighted sum of several), or one that was added by `llara.recommender.register_recommender`; only
    the settings under its own name are used, of text-sasrec and fusion those of their parts too."""
    embedding_dim: PositiveInt = 64
    """Width R of the item vectors, >= 1. LLaRA uses 64. Imported embeddings bring their own."""
    sasrec: SASRecConfig = field(default_factory=SASRecConfig)
    gru4rec: GRU4RecConfig = field(default_factory=GRU4RecConfig)
    caser: CaserConfig = field(default_factory=CaserConfig)
    imported: ImportedConfig = field(default_factory=ImportedConfig)
    text: TextConfig = field(default_factory=TextConfig)
    counts: CountsConfig = field(default_factory=CountsConfig)
    ease: EaseConfig = field(default_factory=EaseConfig)
    item_knn: ItemKNNConfig = field(default_factory=ItemKNNConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of a recommender that was added: its own settings, by name."""
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        check_limits(self, "recommender")
        self.own_settings()
        for name in self.parts:
            check = _kind_of(name).check
            if check is not None:
                check(self.settings_of(name), self.embedding_dim)
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse a part that cannot be made, and one without item vectors where these are needed."""
        first = self.parts[0]
        if not _kind_of(first).recommender.has_vectors:
            raise ConfigError(
                f"{first} has no item vectors to put into prompts. Set recommender.name: fusion, and name a "
                f"recommender that has some first in recommender.fusion.members, such as [sasrec, {first}]."
            )
        if self.reads_text and self.text.encoder is None:
            raise ConfigError(
                f"recommender {self.name} reads items' texts, but recommender.text.encoder is not set. Get one with "
                "`llara backbone fetch minilm-l6`, then set recommender.text.encoder: backbones/minilm-l6."
            )

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the recommenders that it is made of: its own, or those of a fusion."""
        return self.fusion.members if self.name == Fusion.name else (self.name,)

    @property
    def reads_text(self) -> bool:
        """Whether a part of it needs vectors of the items' texts."""
        return any(name in _READ_TEXT for name in self.parts)

    def settings_of(self, name: str) -> object:
        """The settings of a part; one that was added has them only where it stands alone, else its defaults."""
        if name not in _SECTIONS and name != self.name:
            return _kind_of(name).config()
        return self.own_settings() if name == self.name else getattr(self, _SECTIONS[name])

    def own_settings(self) -> object:
        """The settings of the recommender that is named, in its own config class.

        Raises:
            ConfigError: If `settings` are not those of this recommender.
        """
        if self.name in _SECTIONS:
            if self.settings:
                raise ConfigError(
                    f"recommender.settings are for recommenders that were added, found {', '.join(self.settings)}; "
                    f"those of {self.name} are under recommender.{self.name}."
                )
            section: object = getattr(self, _SECTIONS[self.name])
            return section
        kind = _kind_of(self.name)
        known = [field.name for field in dataclasses.fields(kind.config)]
        unknown = next((name for name in self.settings if name not in known), None)
        if unknown is not None:
            raise ConfigError(
                f"recommender.settings.{unknown} does not fit the recommender '{self.name}', which has "
                f"{', '.join(known) or 'no settings'}."
            )
        try:
            return TypeAdapter(kind.config).validate_python(dict(self.settings))
        except (ValidationError, TypeError) as error:
            found = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
            key = ".".join(("recommender", "settings", *(str(part) for part in found["loc"])))
            raise ConfigError(f"{key} does not fit the recommender '{self.name}': {found['msg']}.") from error


@dataclass(frozen=True)
class CatalogItems:
    """The catalog that a recommender is built for.

    Attributes:
        num_items: Number of items, without padding.
        row_of_item_index: Row of each item in the data set's files, see `import_embeddings`; None where unknown.
        item_ids: Identifiers by item index, entry 0 unused; None where unknown.
        texts: A vector of each item's text, row 0 padding, [num_items + 1, V]; None where nothing reads text.
    """

    num_items: int
    row_of_item_index: IntArray | None = None
    item_ids: Sequence[int | str] | None = None
    texts: Tensor | None = None

    def text_vectors(self) -> Tensor:
        """The texts' vectors.

        Raises:
            ConfigError: If there are none.
        """
        if self.texts is None:
            raise ConfigError("this recommender reads items' texts: give `texts`, a vector of each item's text.")
        return self.texts


Build = Callable[[RecommenderConfig, CatalogItems], Recommender]


@dataclass(frozen=True)
class _Kind:
    recommender: type[Recommender]
    config: type
    build: Build
    check: Callable[[Any, int], None] | None


_KINDS: dict[str, _Kind] = {}


def register_recommender(
    recommender: type[Recommender],
    config: type,
    *,
    build: Build | None = None,
    check: Callable[[Any, int], None] | None = None,
) -> None:
    """Make a recommender known under its `name`: to settings, where it is built and where it is loaded.

    Args:
        recommender: The class; a `SequentialRecommender` is fitted, any other one is used as it was built.
        config: Frozen dataclass of its own settings, which `recommender.settings` gives.
        build: Makes one, not yet fitted; None: `recommender(num_items, config, width=..., seed=...)`.
        check: Refuses settings that do not fit the width R, before anything is built.

    Raises:
        ConfigError: If the name is taken.
    """
    name = recommender.name
    if name in RECOMMENDERS:
        raise ConfigError(f"a recommender '{name}' exists already; known are {', '.join(RECOMMENDERS)}. Rename yours.")
    construct: Callable[..., Recommender] = recommender

    def usual(settings: RecommenderConfig, items: CatalogItems) -> Recommender:
        own, width = settings.settings_of(name), settings.embedding_dim
        return construct(items.num_items, own, width=width, seed=settings.fit.seed)

    _KINDS[name] = _Kind(recommender, config, build or usual, check)
    RECOMMENDERS[name] = recommender


def _imported(settings: RecommenderConfig, items: CatalogItems) -> Recommender:
    rows, ids = items.row_of_item_index, items.item_ids
    return import_embeddings(settings.imported, num_items=items.num_items, row_of_item_index=rows, item_ids=ids)


def _text(settings: RecommenderConfig, items: CatalogItems) -> Recommender:
    text = settings.text
    vectors = whitened(items.text_vectors(), strength=text.whitening)
    return TextSimilarity(vectors, decay=text.decay, sharpness=text.sharpness)


def _text_sasrec(settings: RecommenderConfig, items: CatalogItems) -> Recommender:
    width, seed, ids = settings.embedding_dim, settings.fit.seed, settings.text.ids
    return TextSASRec(items.text_vectors(), settings.sasrec, ids=ids, width=width, seed=seed)


def _fusion(settings: RecommenderConfig, items: CatalogItems) -> Recommender:
    members = [_kind_of(name).build(settings, items) for name in settings.parts]
    return Fusion(members, by_frequency=settings.fusion.by_frequency)


register_recommender(SASRec, SASRecConfig, check=require_heads_divide)
register_recommender(GRU4Rec, GRU4RecConfig)
register_recommender(Caser, CaserConfig)
register_recommender(ImportedEmbeddings, ImportedConfig, build=_imported)
register_recommender(TextSimilarity, TextConfig, build=_text)
register_recommender(TextSASRec, TextConfig, build=_text_sasrec)
register_recommender(Counts, CountsConfig, build=lambda settings, items: Counts(items.num_items, settings.counts))
register_recommender(Ease, EaseConfig, build=lambda settings, items: Ease(items.num_items, settings.ease))
register_recommender(ItemKNN, ItemKNNConfig, build=lambda settings, items: ItemKNN(items.num_items, settings.item_knn))
register_recommender(Fusion, FusionConfig, build=_fusion)
RECOMMENDERS[Popularity.name] = Popularity


def _kind_of(name: str) -> _Kind:
    if name not in _KINDS:
        near = difflib.get_close_matches(name, _KINDS, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ConfigError(
            f"recommender.name must be one of {', '.join(_KINDS)}, got {name!r}.{hint} One of your own must be "
            "registered before the settings are read: import its module first."
        )
    return _KINDS[name]


def build_recommender(
    config: RecommenderConfig,
    *,
    num_items: int,
    row_of_item_index: IntArray | None = None,
    item_ids: Sequence[int | str] | None = None,
    texts: Tensor | None = None,
) -> Recommender:
    """The configured recommender, not yet fitted; `config.fit.seed` decides its initial weights.

    Args:
        config: Settings.
        num_items: Catalog size, without padding, >= 1.
        row_of_item_index: Only for imported embeddings, see `import_embeddings`.
        item_ids: Only for imported embeddings, see `import_embeddings`.
        texts: Only for recommenders that read text: a vector of each item's text, row 0 padding, [num_items + 1, V].

    Raises:
        ConfigError, DataError: If imported embeddings cannot be read or do not fit the catalog.
    """
    items = CatalogItems(num_items, row_of_item_index, item_ids, texts)
    return _kind_of(config.name).build(config, items)
