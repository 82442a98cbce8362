"""What all stages of a run read: settings, data, split, and the rows that are judged."""

from dataclasses import dataclass, field

from torch import Tensor

from llara.data import Dataset, Examples, Split, held_out_examples, load_dataset, split_dataset
from llara.evaluate import RankingTask, build_task
from llara.model.selftest import check_backbone
from llara.recommender.text_encoder import encode_texts, encoded_width
from llara.run.choices import uses_of_backbone
from llara.run.config import RunConfig
from llara.run.events import Listener, ignore, stage

_STOPPING_ROWS = 2000


@dataclass(frozen=True)
class Material:
    """Settings and data of a run.

    Attributes:
        config: All settings.
        dataset: The data.
        split: Its split.
        validation: The rows by which the best step is chosen.
        test: The rows that are reported.
    """

    config: RunConfig
    dataset: Dataset
    split: Split
    validation: RankingTask
    test: RankingTask
    _text_vectors: list[Tensor] = field(default_factory=list, repr=False, compare=False)

    @property
    def reads_text(self) -> bool:
        """Whether a text encoder reads the items, for the recommender or for the sequence head."""
        return self.config.recommender.reads_text or (
            self.config.llara.sequence.head and self.config.sequence.texts == "encoder"
        )

    def text_vectors(self, listener: Listener = ignore) -> Tensor | None:
        """A vector of each item's text by recommender.text.encoder, [num_items + 1, V]; read once; None: not asked.

        Raises:
            CheckpointError: If the encoder cannot be read.
        """
        if not self.reads_text:
            return None
        if not self._text_vectors:
            settings, catalog = self.config.recommender.text, self.dataset.catalog
            assert settings.encoder is not None  # refused where settings are read
            texts = catalog.texts(text_of_encoder(self.config))
            with stage(listener, "reading the items' texts", catalog.num_items) as advance:
                vectors = encode_texts(settings.encoder, texts, max_tokens=settings.max_tokens, on_progress=advance)
            self._text_vectors.append(vectors)
        return self._text_vectors[0]

    def stopping_rows(self) -> Examples:
        """Validation rows by which fitting a recommender stops."""
        return held_out_examples(self.dataset.log, self.split, self.config.data.split, limit=_STOPPING_ROWS)


def read_material(config: RunConfig) -> Material:
    """Read and split the data; refuse what can be known to be wrong before any work.

    Raises:
        LlaraError: For anything wrong with settings, data or backbone.
    """
    check_backbone(config.backbone, uses=uses_of_backbone(config))
    if config.recommender.text.encoder is not None:
        encoded_width(config.recommender.text.encoder)  # refuses what is no model
    dataset = load_dataset(config.data.folder, seed=config.data.seed)
    for template in (config.prompt.item_text, text_of_encoder(config)):
        dataset.catalog.texts(template)  # refuses unknown and unreadable columns
    dataset.catalog.refuse_unknown_columns(config.backbone.adapt.columns)
    split = split_dataset(dataset, config.data.split)
    return Material(
        config, dataset, split, _validation_task(config, dataset, split), _test_task(config, dataset, split)
    )


def text_of_encoder(config: RunConfig) -> str:
    """Template of what the text encoder reads of each item."""
    return config.recommender.text.item_text or config.prompt.item_text


def _test_task(config: RunConfig, dataset: Dataset, split: Split) -> RankingTask:
    dense = config.evaluate.rows == "dense"
    limit = config.evaluate.rows_limit
    rows = held_out_examples(dataset.log, split, config.data.split, limit=limit, part="test") if dense else None
    return build_task(dataset, split, "test", config.data.candidates, draws=config.data.candidates.draws, examples=rows)


def _validation_task(config: RunConfig, dataset: Dataset, split: Split) -> RankingTask:
    settings = config.evaluate
    dense = settings.validation_rows == "dense"
    rows = held_out_examples(dataset.log, split, config.data.split, limit=settings.validation_limit) if dense else None
    return build_task(
        dataset, split, "validation", config.data.candidates, draws=settings.validation_draws, examples=rows
    )
