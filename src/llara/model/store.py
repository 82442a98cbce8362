"""A saved model: one folder of safetensors, JSON and Parquet that opens on another machine with the same scores."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from llara.data import Catalog, write_parquet
from llara.errors import CheckpointError, ConfigError
from llara.model.backbone import NANO, causal_lm, load_backbone, storage_dtype
from llara.model.loading import refuse_not_finite, refuse_other_names
from llara.model.network import Network
from llara.model.settings import LlaraConfig, ScorerName
from llara.prompt import PromptEncoder
from llara.recommender import Recommender, load_recommender, save_recommender

LLARA_FILE, PROJECTOR_FILE, CATALOG_FILE = "llara.json", "projector.safetensors", "catalog.parquet"
RECOMMENDER_FOLDER, ADAPTER_FOLDER, BACKBONE_FOLDER = "recommender", "adapter", "backbone"
_OWN_WEIGHTS = (
    "projector.",
    "placeholder",
    "head.",
    "prior_weight",
    "part_vectors",
    "slots.",
    "sequence.",
    "text_projector.",
)
_FORMAT = 1
_KEYS = ("noun", "uses_behavior", "default_scorer", "backbone_stored", "config")


def save_llara(
    llara: Network,
    folder: Path,
    *,
    catalog: Catalog,
    uses_behavior: bool,
    default_scorer: ScorerName,
    history_length: int | None,
) -> None:
    """Write a model's parts into an existing or new folder; other files there stay.

    A backbone that exists only here (nano, adapted, or tuned in full) is stored whole; any other is named by its folder
    or hub name, and only the adapter is stored.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = llara.config.backbone
    own = settings.path == NANO or settings.adapt.steps > 0 or settings.tuning == "full"
    if own:
        _save_plain_backbone(llara, folder / BACKBONE_FOLDER)
    if settings.tuning == "lora":
        llara.model.save_pretrained(str(folder / ADAPTER_FOLDER), save_embedding_layers=False)
        (folder / ADAPTER_FOLDER / "README.md").unlink(missing_ok=True)  # peft's empty form
    tensors = {f"projector.{name}": value for name, value in llara.projector.state_dict().items()}
    tensors |= {f"slots.{name}": value for name, value in llara.slots.state_dict().items()}
    if llara.sequence is not None:
        tensors |= {f"sequence.{name}": value for name, value in llara.sequence.state_dict().items()}
    if llara.text_projector is not None:
        tensors |= {f"text_projector.{name}": value for name, value in llara.text_projector.state_dict().items()}
    tensors |= {
        "placeholder": llara.placeholder.data,
        "head.weight": llara.head.weight.data,
        "prior_weight": llara.prior_weight.data,
        "part_vectors": llara.part_vectors.data,
    }
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, str(folder / PROJECTOR_FILE)
    )
    save_recommender(llara.recommender, folder / RECOMMENDER_FOLDER)
    save_catalog(catalog, folder / CATALOG_FILE)
    content = {
        "format": _FORMAT,
        "noun": catalog.noun,
        "uses_behavior": uses_behavior,
        "default_scorer": default_scorer,
        "history_length": history_length,
        "choices": llara.choices,
        "silent": sorted(llara.silent),
        "backbone_stored": own,
        "config": asdict(llara.config),
    }
    (folder / LLARA_FILE).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _save_plain_backbone(llara: Network, folder: Path) -> None:
    """Store the causal LM without its adapter, under the names that Hugging Face expects."""
    lm = causal_lm(llara.model)
    state = {
        name.replace(".base_layer.", "."): value.detach().cpu().contiguous()
        for name, value in lm.state_dict().items()
        if ".lora_" not in name
    }
    lm.config.save_pretrained(folder)
    if getattr(lm.config, "tie_word_embeddings", False):
        state.pop("lm_head.weight", None)
    save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
    llara.tokenizer.save_pretrained(str(folder))


@dataclass(frozen=True)
class SavedLlara:
    """The parts of a saved model, from which `Llara.from_pretrained` builds it.

    Attributes:
        tensors: State of `projector.`, `placeholder` and `head.`.
    """

    model: PreTrainedModel
    encoder: PromptEncoder
    catalog: Catalog
    recommender: Recommender
    config: LlaraConfig
    uses_behavior: bool
    default_scorer: ScorerName
    history_length: int | None
    choices: dict[str, str]
    silent: list[str]
    tensors: dict[str, Tensor]

    @property
    def texts(self) -> Tensor | None:
        """Vectors of the items' texts, of a model with a sequence head."""
        return self.tensors.get("sequence.texts")


def read_llara(folder: Path) -> SavedLlara:
    """Read and check the parts of a saved model.

    Raises:
        CheckpointError: If a part is missing, damaged, or does not fit the others.
    """
    content = _read_content(folder)
    config = _read_config(content, folder)
    catalog = load_catalog(folder / CATALOG_FILE, noun=content["noun"])
    recommender = load_recommender(folder / RECOMMENDER_FOLDER)
    if recommender.num_items != catalog.num_items:
        raise CheckpointError(
            f"{folder}: recommender '{recommender.name}' knows {recommender.num_items} items, {CATALOG_FILE} has "
            f"{catalog.num_items}. They are of different runs; copy the run folder again."
        )
    tensors = _read_projector(folder / PROJECTOR_FILE, recommender)
    settings = config.backbone
    if content["backbone_stored"]:
        settings = replace(settings, path=str(folder / BACKBONE_FOLDER))
    adapter = folder / ADAPTER_FOLDER if settings.tuning == "lora" else None
    if adapter is not None and not adapter.is_dir():
        raise CheckpointError(f"{folder} has no {ADAPTER_FOLDER}/. Is it a complete run folder? Copy it again.")
    dtype = torch.float32 if content["backbone_stored"] else storage_dtype(settings)
    model, tokenizer = load_backbone(settings, dtype=dtype, adapter=adapter)
    return SavedLlara(
        model=model,
        encoder=PromptEncoder(tokenizer, catalog, config.prompt),
        catalog=catalog,
        recommender=recommender,
        config=config,
        uses_behavior=content["uses_behavior"],
        default_scorer=content["default_scorer"],
        history_length=content.get("history_length"),  # folders saved before do not say
        choices=content.get("choices", {}),
        silent=content.get("silent", []),
        tensors=tensors,
    )


def _read_content(folder: Path) -> dict[str, Any]:
    path = folder / LLARA_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no {LLARA_FILE}: it is no finished run. Give a folder that `llara train` has completed."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}. Copy the run folder again.") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path}: expected format {_FORMAT}, found {found}. Update llara.")
    lost = [key for key in _KEYS if key not in content]
    if lost:
        raise CheckpointError(f"{path} lacks '{lost[0]}'. Copy the run folder again.")
    return content


def _read_config(content: dict[str, Any], folder: Path) -> LlaraConfig:
    try:
        return TypeAdapter(LlaraConfig).validate_python(content["config"])
    except (ValidationError, ConfigError) as error:
        raise CheckpointError(f"{folder / LLARA_FILE} has settings that this version does not know: {error}") from error


def _read_projector(path: Path, recommender: Recommender) -> dict[str, Tensor]:
    try:
        tensors = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {error}. Copy the run folder again.") from error
    refuse_not_finite(tensors, str(path.parent), files=path)
    width = tensors["projector.mean"].shape[0] if "projector.mean" in tensors else None
    if width != recommender.width:
        raise CheckpointError(
            f"{path}: projector takes item width {width}, recommender '{recommender.name}' gives {recommender.width}. "
            "Load the recommender that it was trained with (see manifest.json)."
        )
    return tensors


def load_own(llara: Network, tensors: dict[str, Tensor], folder: Path) -> None:
    """Take over the weights that are neither backbone nor recommender."""
    own = {name: value for name, value in llara.state_dict().items() if name.startswith(_OWN_WEIGHTS)}
    for name, value in own.items():
        expected, found = list(value.shape), list(tensors[name].shape) if name in tensors else "nothing"
        if expected != found:
            raise CheckpointError(
                f"{folder}: the projector file has {found} for '{name}', backbone and recommender ask for "
                f"{expected}. They are of different runs; copy the run folder again."
            )
    refuse_other_names(tensors, own, folder / PROJECTOR_FILE)
    llara.load_state_dict({name: tensors[name] for name in own}, strict=False)


def save_catalog(catalog: Catalog, path: Path) -> None:
    """Items in index order: row i is item index i + 1."""
    frame = pl.DataFrame({"item_id": list(catalog.item_ids[1:]), "title": list(catalog.titles[1:])})
    write_parquet(frame.hstack(catalog.metadata.get_columns()), path)


def load_catalog(path: Path, *, noun: str) -> Catalog:
    """The inverse of `save_catalog`."""
    try:
        frame = pl.read_parquet(path)
        ids, titles = frame["item_id"].to_list(), frame["title"].to_list()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {error}. Copy the run folder again.") from error
    return Catalog(
        item_ids=(-1 if ids and isinstance(ids[0], int) else "", *ids),
        titles=("", *titles),
        noun=noun,
        metadata=frame.drop("item_id", "title"),
    )
