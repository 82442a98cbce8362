"""What a trial chose is part of a run: resumed and loaded models multiply as they did before."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from llara.data import Catalog, Examples
from llara.model import BackboneConfig, Llara, LlaraConfig, NanoConfig
from llara.model.kernels.lora import LoraLinear
from llara.model.kernels.products import has_onednn
from llara.recommender import SASRec
from llara.train import ObjectiveConfig, StepRecord, TrainConfig, Trainer

CONFIG = TrainConfig(
    epochs=1, batch_size=16, micro_batch_size=16, num_negatives=19, validations=4,
    objective=ObjectiveConfig(name="listwise"),
)  # fmt: skip
Make = Callable[[str], Llara]


@pytest.fixture
def make(tiny_catalog: Catalog, frozen_sasrec: SASRec) -> Make:
    """A model wide enough for the choice to matter, in a process whose trial would have chosen as named."""

    def build(products: str) -> Llara:
        nano = NanoConfig(hidden_size=192, num_layers=1, num_heads=4, vocabulary=400)
        config = LlaraConfig()
        backbone = BackboneConfig(precision="float32", nano=nano)
        llara = Llara.from_backbone(backbone, frozen_sasrec, tiny_catalog, config=config)
        llara.take_choices({"products": products})
        return llara

    return build


def train(llara: Llara, examples: Examples, folder: Path, *, resume: bool = False, stop_after: int = -1) -> Llara:
    def on_step(record: StepRecord) -> None:
        if record.step + 1 == stop_after:
            raise KeyboardInterrupt

    trainer = Trainer(
        llara, examples, config=CONFIG, validate=lambda _: 0.5, folder=folder, on_step=on_step, fingerprint="tiny"
    )
    if stop_after > 0:
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    else:
        trainer.train(resume=resume)
    return llara


def equal(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return all(torch.equal(some[name], others[name]) for name in some)


@pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")
def test_a_resumed_run_multiplies_as_it_began_whatever_a_new_trial_says(
    make: Make, make_examples: Callable[[int], Examples], tmp_path: Path
) -> None:
    examples = make_examples(64)
    ends = {
        products: _last_weights(train(make(products), examples, tmp_path / products), tmp_path / products)
        for products in ("torch", "onednn")
    }
    if equal(ends["torch"], ends["onednn"]):
        pytest.skip("both libraries agree bit by bit on this processor")
    train(make("onednn"), examples, tmp_path / "run", stop_after=2)
    resumed = train(make("torch"), examples, tmp_path / "run", resume=True)
    assert resumed.choices == {"products": "onednn"}
    assert equal(_last_weights(resumed, tmp_path / "run"), ends["onednn"])


def _last_weights(_: Llara, folder: Path) -> dict[str, Tensor]:
    """Weights after the last step, of which the trainer keeps only the best in the model."""
    from safetensors.torch import load_file

    return load_file(str(folder / "checkpoints" / "last" / "weights.safetensors"))


def test_a_saved_model_multiplies_as_before(make: Make, tmp_path: Path) -> None:
    for products in ("torch", "onednn"):
        if products == "onednn" and not has_onednn():
            continue
        make(products).save_pretrained(tmp_path / products)
        opened = Llara.from_pretrained(tmp_path / products)
        assert opened.choices == {"products": products}
        assert {module.products for module in opened.modules() if isinstance(module, LoraLinear)} == {products}
