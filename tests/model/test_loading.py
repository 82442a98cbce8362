"""Files of backbones, adapters and projectors: whatever is missing, left over, misshapen or no number is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from llara.errors import CheckpointError
from llara.model import BackboneConfig, Llara, load_backbone
from llara.model.loading import check_backbone_folder

Folder = Callable[[str], str]
Change = Callable[[dict[str, torch.Tensor]], None]
WEIGHTS = "model.safetensors"
Q = "model.layers.1.self_attn.q_proj.weight"


def rewrite(path: Path, change: Change) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def drop(name: str) -> Change:
    return lambda tensors: tensors.__delitem__(name)


def put(name: str, value: torch.Tensor) -> Change:
    return lambda tensors: tensors.__setitem__(name, value)


def spoil(name: str, value: float = float("nan")) -> Change:
    return lambda tensors: tensors[name].view(-1).__setitem__(3, value)


@pytest.fixture
def copied(backbone_folder: Folder, tmp_path: Path) -> Path:
    """A llama folder that a test may damage."""
    return Path(shutil.copytree(backbone_folder("llama"), tmp_path / "backbone"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(Q), rf"model.safetensors lacks '{Q}'"),
        (drop("lm_head.weight"), "model.safetensors lacks 'lm_head.weight'"),
        (put("model.layers.9.extra", torch.ones(3)), "takes: 'model.layers.9.extra'"),
        (put(Q, torch.ones(3, 3)), rf"model.safetensors has \[3, 3\] for '{Q}', config.json asks for \[32, 32\]"),
        (spoil(Q), rf"'{Q}' in model.safetensors holds NaN or infinity"),
        (spoil("lm_head.weight", float("inf")), "'lm_head.weight' in model.safetensors holds NaN"),
    ],
)
def test_a_backbone_with_another_tensor_than_asked_for_is_refused(change: Change, message: str, copied: Path) -> None:
    rewrite(copied / WEIGHTS, change)
    with pytest.raises(CheckpointError, match=message):
        load_backbone(BackboneConfig(path=str(copied)))


def test_tied_weights_are_not_missing(backbone_folder: Folder) -> None:
    assert "lm_head.weight" not in load_file(Path(backbone_folder("qwen3")) / WEIGHTS)
    load_backbone(BackboneConfig(path=backbone_folder("qwen3")))


@pytest.fixture
def sharded(backbone_folder: Folder, tmp_path: Path) -> Path:
    """A backbone in several files with an index."""
    folder = tmp_path / "sharded"
    model = AutoModelForCausalLM.from_pretrained(backbone_folder("llama"))
    model.save_pretrained(folder, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(backbone_folder("llama")).save_pretrained(str(folder))
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def test_weights_in_several_files_load_and_the_file_of_a_bad_tensor_is_named(sharded: Path) -> None:
    load_backbone(BackboneConfig(path=str(sharded)))
    file = sharded / json.loads((sharded / f"{WEIGHTS}.index.json").read_text())["weight_map"][Q]
    rewrite(file, spoil(Q))
    with pytest.raises(CheckpointError, match=rf"'{Q}' in {file.name} holds NaN"):
        load_backbone(BackboneConfig(path=str(sharded)))


@pytest.mark.parametrize("name", ["../outside.safetensors", "/tmp/outside.safetensors", "sub/x.safetensors", "..", 7])
def test_an_index_that_names_files_elsewhere_is_refused(name: object, sharded: Path) -> None:
    index = sharded / f"{WEIGHTS}.index.json"
    content = json.loads(index.read_text())
    file = content["weight_map"][Q]
    shutil.copy(sharded / file, sharded.parent / "outside.safetensors")
    content["weight_map"][Q] = name
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"weights must be plain file names|not in the folder"):
        load_backbone(BackboneConfig(path=str(sharded)))


def test_weights_that_are_links_out_of_the_folder_are_refused(copied: Path) -> None:
    elsewhere = copied.parent / "elsewhere.safetensors"
    shutil.move(copied / WEIGHTS, elsewhere)
    (copied / WEIGHTS).symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match=r"is a link to .*elsewhere.safetensors, outside of its folder"):
        load_backbone(BackboneConfig(path=str(copied)))


def test_a_snapshot_of_the_hubs_cache_is_a_folder_of_links_and_loads(copied: Path) -> None:
    blobs, snapshot = copied.parent / "blobs", copied.parent / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    shutil.copytree(copied, blobs)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    linked, _ = load_backbone(BackboneConfig(path=str(snapshot), tuning="frozen"))
    direct, _ = load_backbone(BackboneConfig(path=str(copied), tuning="frozen"))
    assert all(torch.equal(linked.state_dict()[name], weight) for name, weight in direct.state_dict().items())


def test_an_adapter_beside_the_weights_is_refused(copied: Path) -> None:
    (copied / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    with pytest.raises(CheckpointError, match=r"holds an adapter .* Merge it into them"):
        check_backbone_folder(str(copied))


@pytest.fixture(scope="module")
def saved(build: Callable[..., Llara], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "run"
    build().save_pretrained(folder)
    return folder


A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def rename(tensors: dict[str, torch.Tensor]) -> None:
    tensors[A.replace("q_proj", "w_proj")] = tensors.pop(A)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("adapter/adapter_model.safetensors", drop(A), f"lacks '{A}'"),
        ("adapter/adapter_model.safetensors", rename, f"lacks '{A}'"),
        ("adapter/adapter_model.safetensors", put(A.replace("layers.0", "layers.7"), torch.ones(8, 32)), "layers.7"),
        ("adapter/adapter_model.safetensors", put(A, torch.ones(8, 31)), "adapter is damaged or of another backbone"),
        ("adapter/adapter_model.safetensors", spoil(A), f"'{A}' in adapter_model.safetensors holds NaN"),
        ("projector.safetensors", spoil("head.weight"), "'head.weight' in projector.safetensors holds NaN"),
        ("projector.safetensors", spoil("projector.first.weight"), "'projector.first.weight' in projector"),
        ("projector.safetensors", put("head.bias", torch.ones(1)), "no part of the model takes: 'head.bias'"),
        ("backbone/model.safetensors", drop(Q), f"model.safetensors lacks '{Q}'"),
        ("backbone/model.safetensors", put(Q, torch.ones(2)), "config.json asks for"),
        ("recommender/recommender.safetensors", lambda t: t.popitem(), "asks for"),
        ("recommender/recommender.safetensors", lambda t: t[max(t)].fill_(torch.inf), "holds NaN or infinity"),
    ],
)
def test_a_run_with_another_tensor_than_asked_for_is_refused(
    file: str, change: Change, message: str, saved: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "run"))
    Llara.from_pretrained(folder)
    rewrite(folder / file, change)
    with pytest.raises(CheckpointError, match=message):
        Llara.from_pretrained(folder)


CODE = """
from pathlib import Path
Path({ran!r}).write_text("ran")
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class Config(LlamaConfig): model_type = {model_type!r}
class Model(LlamaForCausalLM): config_class = Config
class Tokenizer(PreTrainedTokenizerFast): pass
"""


def plant(folder: Path, *, model_type: str) -> Path:
    """Code that leaves a file behind if it runs, named by model and tokenizer configuration."""
    ran = folder.parent / "ran"
    (folder / "custom.py").write_text(CODE.format(ran=str(ran), model_type=model_type))
    own = {
        "AutoConfig": "custom.Config",
        "AutoModelForCausalLM": "custom.Model",
        "AutoTokenizer": [None, "custom.Tokenizer"],
    }
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text())
        content["auto_map"] = own
        if name == "config.json":
            content["model_type"] = model_type
        elif model_type != "llama":
            content["tokenizer_class"] = "Tokenizer"
        (folder / name).write_text(json.dumps(content))
    return ran


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with every question on the terminal; all are answered with yes."""
    questions: list[str] = []

    def agree(text: str = "") -> str:
        questions.append(text)
        return "y"

    monkeypatch.setattr("builtins.input", agree)
    return questions


@pytest.mark.parametrize("model_type", ["llama", "custom"])
def test_code_beside_a_backbone_is_never_run_nor_asked_about(
    model_type: str, copied: Path, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    ran = plant(copied, model_type=model_type)
    if model_type == "llama":  # what transformers knows is loaded by its own code
        model, _ = load_backbone(BackboneConfig(path=str(copied), tuning="frozen"))
        assert type(model).__module__.startswith("transformers.")
    else:
        with pytest.raises(CheckpointError, match="needs code of its own, which llara never runs"):
            load_backbone(BackboneConfig(path=str(copied)))
    assert not asked
    assert not ran.exists()
    assert not capsys.readouterr().out


def test_code_planted_in_a_run_is_never_run(saved: Path, tmp_path: Path, asked: list[str]) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "run"))
    ran = plant(folder / "backbone", model_type="llama")
    Llara.from_pretrained(folder)
    assert not asked
    assert not ran.exists()


def test_attention_code_from_a_hub_is_refused(copied: Path) -> None:
    content = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**content, "attn_implementation": "somebody/attention"}))
    with pytest.raises(CheckpointError, match="asks for attention by 'somebody/attention', code from a hub"):
        load_backbone(BackboneConfig(path=str(copied)))
