"""Backbones of every tested shape: loading, checks, adapters, precision."""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from llara.errors import CheckpointError, ConfigError
from llara.model import AdaptConfig, BackboneConfig, Llara, LoraSettings, NanoConfig, load_backbone
from llara.model.backbone import PAPER_TARGETS, causal_lm, check_head, decoder, head_logits, storage_dtype
from llara.model.precision import resolve_precision
from llara.prompt import collate

Folder = Callable[[str], str]
SHAPES = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3", "granite", "cohere", "gpt2"]
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_saved_backbone_loads_as_it_is(shape: str, backbone_folder: Folder) -> None:
    plain = AutoModelForCausalLM.from_pretrained(backbone_folder(shape)).eval()
    model, tokenizer = load_backbone(BackboneConfig(path=backbone_folder(shape), tuning="frozen"))
    assert list(model.state_dict()) == list(plain.state_dict())
    for name, weight in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    with torch.inference_mode():
        expected = plain(input_ids=IDS).logits
        # Kernels of ours may add in another order.
        torch.testing.assert_close(model.eval()(input_ids=IDS).logits, expected, atol=1e-5, rtol=1e-5)
        hidden = decoder(model)(input_ids=IDS).last_hidden_state
        torch.testing.assert_close(head_logits(model, hidden), expected, atol=1e-5, rtol=1e-5)
    assert len(tokenizer) <= plain.config.vocab_size
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fresh_adapter_changes_nothing_and_sits_on_the_right_layers(shape: str, backbone_folder: Folder) -> None:
    config = BackboneConfig(path=backbone_folder(shape))
    plain, _ = load_backbone(BackboneConfig(path=config.path, tuning="frozen"))
    model, _ = load_backbone(config)
    with torch.inference_mode():
        assert torch.equal(model.eval()(input_ids=IDS).logits, plain.eval()(input_ids=IDS).logits)
    adapted = {name.split(".lora_A")[0].rsplit(".", 1)[-1] for name, _ in model.named_parameters() if ".lora_A" in name}
    assert adapted == ({"c_attn", "c_fc", "c_proj"} if shape == "gpt2" else set(PAPER_TARGETS))
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        name for name, _ in model.named_parameters() if ".lora_" in name
    }


def test_the_adapter_is_the_papers_by_default(backbone_folder: Folder) -> None:
    model, _ = load_backbone(BackboneConfig(path=backbone_folder("llama")))
    peft = cast(LoraConfig, model.peft_config["default"])
    assert (peft.r, peft.lora_alpha, peft.lora_dropout) == (8, 32, 0.1)
    rank = next(p for name, p in model.named_parameters() if ".lora_A" in name)
    assert rank.shape[0] == 8


def test_targets_can_be_named_and_must_exist(backbone_folder: Folder) -> None:
    path = backbone_folder("llama")
    model, _ = load_backbone(BackboneConfig(path=path, lora=LoraSettings(targets=("q_proj",))))
    assert all("q_proj" in name for name, _ in model.named_parameters() if ".lora_" in name)
    with pytest.raises(ConfigError, match=r"backbone.lora.targets: the backbone has no layer named w_pack"):
        load_backbone(BackboneConfig(path=path, lora=LoraSettings(targets=("q_proj", "w_pack"))))


def test_full_tuning_trains_everything(backbone_folder: Folder) -> None:
    model, _ = load_backbone(BackboneConfig(path=backbone_folder("gpt2"), tuning="full"))
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("tuning", ["lora", "full", "frozen"])
@pytest.mark.parametrize("shape", ["llama", "gemma3", "gpt2"])
def test_recomputing_activations_gives_the_same_loss_and_gradients(
    shape: str, tuning: str, build: Callable[..., Llara]
) -> None:
    results = []
    for checkpointing in (False, True):
        llara = build(shape, tuning=tuning, gradient_checkpointing=checkpointing).train()
        for module in llara.modules():  # GPT-2 and Gemma have dropout of their own
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        prompt = llara.encode_prompt([1, 2, 3], [9, 10])
        answer = llara.encoder.answer_tokens(9)
        batch = collate([prompt], hybrid=[True], filler=llara.encoder.filler, answers=[answer])
        output = llara(batch)
        loss = output.listwise.square().sum() - output.answer_log_probs.mean()
        loss.backward()
        assert causal_lm(llara.model).is_activation_checkpointing is checkpointing
        grads = {n: p.grad.clone() for n, p in llara.named_parameters() if p.grad is not None}
        results.append((loss.detach(), grads))
    (loss, grads), (again, recomputed) = results
    torch.testing.assert_close(again, loss)
    assert grads.keys() == recomputed.keys()
    assert "projector.first.weight" in grads
    for name, grad in grads.items():
        torch.testing.assert_close(recomputed[name], grad, atol=1e-6, rtol=1e-4)


def test_a_backbone_that_treats_logits_in_an_unknown_way_is_refused(backbone_folder: Folder) -> None:
    model, _ = load_backbone(BackboneConfig(path=backbone_folder("llama"), tuning="frozen"))
    check_head(model)

    class Sharpened(LlamaForCausalLM):
        def forward(self, *args: object, **settings: object) -> object:
            output = super().forward(*args, **settings)
            output.logits = output.logits * 1.5
            return output

    model.__class__ = Sharpened
    with pytest.raises(CheckpointError, match=r"Sharpened post-processes its logits .* \(largest difference"):
        check_head(model)


def test_a_model_without_a_language_head_is_refused(backbone_folder: Folder) -> None:
    model = AutoModelForCausalLM.from_pretrained(backbone_folder("llama")).model
    with pytest.raises(CheckpointError, match="LlamaModel has no output head"):
        check_head(model)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("config.json", "has no config.json"),
        ("model.safetensors", r"has no \*.safetensors weights. Save model and tokenizer there"),
        ("tokenizer*", "has no tokenizer files"),
    ],
)
def test_an_incomplete_backbone_folder_is_refused(
    removed: str, message: str, backbone_folder: Folder, tmp_path: Path
) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(backbone_folder("llama"), folder)
    for path in folder.glob(removed):
        path.unlink()
    with pytest.raises(CheckpointError, match=message):
        load_backbone(BackboneConfig(path=str(folder)))


def test_a_missing_backbone_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"backbone folder '.*nowhere' does not exist. Correct backbone.path"):
        load_backbone(BackboneConfig(path=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_backbone_file_is_refused(file: str, backbone_folder: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "backbone"
    shutil.copytree(backbone_folder("llama"), folder)
    (folder / file).write_bytes((folder / file).read_bytes()[:100])
    with pytest.raises(CheckpointError, match="did not load as a causal language model"):
        load_backbone(BackboneConfig(path=str(folder)))


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_four_bits_without_their_library_are_refused(backbone_folder: Folder) -> None:
    with pytest.raises(ConfigError, match=r"needs bitsandbytes: pip install 'llara\[quantized\]'"):
        load_backbone(BackboneConfig(path=backbone_folder("llama"), quantization="4bit"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BackboneConfig(path="x/y", quantization="4bit", tuning="full"), "cannot be tuned in full"),
        (lambda: BackboneConfig(quantization="4bit"), "neither nano nor backbone.adapt"),
        (lambda: BackboneConfig(path="x/y", quantization="4bit", adapt=AdaptConfig(steps=1)), "neither nano nor"),
        (lambda: LoraSettings(rank=0), "backbone.lora.rank must be >= 1, got 0"),
        (lambda: LoraSettings(dropout=1.0), r"backbone.lora.dropout must be in \[0, 1\), got 1.0"),
        (lambda: NanoConfig(hidden_size=30), "must be a multiple of num_heads = 4, got 30"),
        (lambda: NanoConfig(vocabulary=200), "backbone.nano.vocabulary must be >= 300"),
        (lambda: AdaptConfig(steps=-1), "backbone.adapt.steps must be >= 0"),
        (lambda: AdaptConfig(practice_ratio=1.5), r"backbone.adapt.practice_ratio must be in \[0, 1\]"),
    ],
)
def test_backbone_settings_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_precision_follows_the_hardware_only_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("float32", cpu) == torch.float32
    assert resolve_precision("bfloat16", cpu) == torch.bfloat16
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert resolve_precision("auto", cpu) == expected
    assert resolve_precision("auto", torch.device("meta")) == torch.float32


@pytest.mark.parametrize(("capability", "expected"), [((7, 0), "float32"), ((7, 5), "float32"), ((8, 0), "bfloat16")])
def test_auto_takes_bfloat16_only_on_gpus_that_multiply_it_natively(capability: tuple[int, int], expected: str) -> None:
    gpu = torch.device("cuda", 0)
    assert resolve_precision("auto", gpu, compute_capability=capability) == getattr(torch, expected)
    assert resolve_precision("bfloat16", gpu, compute_capability=capability) == torch.bfloat16


def test_weights_that_are_tuned_are_held_in_float32() -> None:
    assert storage_dtype(BackboneConfig(precision="bfloat16", tuning="full")) == torch.float32
    assert storage_dtype(BackboneConfig(precision="bfloat16")) == torch.bfloat16
    assert storage_dtype(BackboneConfig(precision="float32")) == torch.float32
