"""What the speed benchmark computes on: a language model of random weights, rows, and a recommender that knows nothing.

Speed depends on shapes, not on what was learned, so nothing is trained.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llara.data import (
    CandidateConfig,
    CandidateSet,
    Dataset,
    Examples,
    SplitConfig,
    SplitMethod,
    draw_candidates,
    load_dataset,
    split_dataset,
)
from llara.ingest import import_rows
from llara.ingest.sample import make_sample
from llara.model import BackboneConfig, Llara, LlaraConfig
from llara.model.backbone import LoraSettings
from llara.model.gguf import cache_folder
from llara.model.nano import train_tokenizer
from llara.recommender import RecommenderConfig, build_recommender

ShapeName = Literal["135m", "smollm2", "nano", "tiny"]
Precision = Literal["float32", "bfloat16"]
LASTFM = Path("../shared/data/lastfm")
SMOLLM2 = cache_folder() / "tests" / "smollm2-135m"
"""Where `make backbone` puts it."""
_VOCABULARY = 32_000
_TITLE_PIECES = 2500
"""Size of the tokenizer's own vocabulary: small, so that prompts take about 243 tokens and answers 2 to 7."""


@dataclass(frozen=True)
class Shape:
    """A Llama of these sizes; None: as many heads for keys as for queries."""

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    num_key_heads: int | None = None
    vocabulary: int = _VOCABULARY
    ties_embeddings: bool = False

    @property
    def linear_parameters(self) -> int:
        """Weights of the layers' matrix products, embeddings and head aside."""
        return self.num_layers * (4 * self.hidden_size**2 + 3 * self.hidden_size * self.intermediate_size)


SHAPES: dict[ShapeName, Shape] = {
    "135m": Shape(768, 12, 12, 2048),
    "smollm2": Shape(576, 30, 9, 1536, num_key_heads=3, vocabulary=49_152, ties_embeddings=True),
    "nano": Shape(256, 4, 4, 768),
    "tiny": Shape(32, 2, 2, 64),
}
"""`smollm2` is SmolLM2-135M itself, with its own tokenizer, where it was fetched; `tiny` is for tests."""


@dataclass(frozen=True)
class Workload:
    """Rows and candidate sets of one data set."""

    dataset: Dataset
    train: Examples
    test: Examples
    candidates: CandidateSet


def prepare(folder: Path, shapes: Iterable[ShapeName] = ("135m", "nano", "tiny")) -> None:
    """Write data and the backbones of some shapes into a folder, once."""
    data = folder / "data"
    if not data.is_dir():
        rows, items = LASTFM / "rows.parquet", LASTFM / "items.parquet"
        if rows.is_file():
            import_rows(rows, data, items=items, padding=4606, noun="artist")
        else:
            make_sample(data, seed=0)
    for name in shapes:
        if (folder / name).is_dir():
            continue
        if name == "smollm2" and (SMOLLM2 / "config.json").is_file():
            (folder / name).symlink_to(SMOLLM2.resolve())
        else:
            _write_backbone(folder / name, SHAPES[name], load_dataset(data))


def title_tokenizer(dataset: Dataset) -> PreTrainedTokenizerFast:
    """The tokenizer of all shapes."""
    return train_tokenizer(dataset.catalog.titles[1:], vocabulary=_TITLE_PIECES)


def llama_config(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """What `transformers` builds a shape from."""
    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_key_heads or shape.num_heads,
        tie_word_embeddings=shape.ties_embeddings,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _write_backbone(folder: Path, shape: Shape, dataset: Dataset) -> None:
    tokenizer = title_tokenizer(dataset)
    config = llama_config(shape, tokenizer)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def open_workload(folder: Path, *, num_candidates: int = 20, history_length: int = 10) -> Workload:
    """The data that `prepare` wrote, split and with one candidate set per test row."""
    dataset = load_dataset(folder / "data")
    method: SplitMethod = "users" if dataset.rows is None else "rows"
    split = split_dataset(dataset, SplitConfig(method=method, history_length=history_length))
    candidates = draw_candidates(
        split.test,
        CandidateConfig(num_negatives=num_candidates - 1),
        num_items=dataset.catalog.num_items,
        train_sequences=split.train_sequences,
        all_sequences=dataset.log.sequences,
    )
    return Workload(dataset, split.train, split.test, candidates)


def open_llara(folder: Path, shape: ShapeName, workload: Workload, *, precision: Precision) -> Llara:
    """Our model around a backbone that `prepare` wrote: LoRA of rank 8 on seven projections, dropout 0.1."""
    catalog = workload.dataset.catalog
    recommender = build_recommender(RecommenderConfig(), num_items=catalog.num_items)
    backbone = BackboneConfig(
        path=str(folder / shape), tuning="lora", lora=LoraSettings(rank=8, dropout=0.1), precision=precision
    )
    return Llara.from_backbone(backbone, recommender, catalog, config=LlaraConfig())
