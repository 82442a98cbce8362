"""Backbones in .gguf files: the folder that one becomes computes what the model did from which it was written."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from llara.errors import CheckpointError, DataError
from llara.model.backbone import BackboneConfig, load_backbone
from llara.model.gguf import loadable
from llara.model.selftest import check_backbone
from tests.model.gguf_files import write_gguf
from tests.model.tiny import tiny_llama

TEXTS = (
    "Toy Story 2 (1995), it's  12 o'clock",
    " Blade Runner: The Final Cut\n\n Amélie <|im_start|>user",
    "  99  bottles",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("LLARA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tokenizer(tiny_tokenizer: Callable[[str], PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    return tiny_tokenizer("chat")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(1, 60)[None]).logits
    return found


@pytest.mark.parametrize("tied", [True, False])
def test_a_file_computes_what_its_model_did(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, tied: bool) -> None:
    original = tiny_llama(len(tokenizer), tie_word_embeddings=tied)
    file = write_gguf(tmp_path / "tiny.gguf", original, tokenizer)
    model, _ = load_backbone(BackboneConfig(path=str(file), tuning="frozen"))
    assert model.config.tie_word_embeddings is tied
    torch.testing.assert_close(logits(model.eval()), logits(original), atol=1e-5, rtol=1e-5)


def test_quantized_weights_are_those_that_the_file_stands_for(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    kind = gguf.GGMLQuantizationType.Q8_0
    original = tiny_llama(len(tokenizer))
    file = write_gguf(tmp_path / "tiny.gguf", original, tokenizer, kind=kind)
    folder = loadable(str(file))
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    weight = original.model.layers[0].mlp.down_proj.weight.detach().numpy()
    stands_for = torch.from_numpy(gguf.dequantize(gguf.quantize(weight, kind), kind)).bfloat16()
    assert torch.equal(model.model.layers[0].mlp.down_proj.weight.detach(), stands_for)


def test_its_tokenizer_writes_the_same_tokens(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    read = AutoTokenizer.from_pretrained(loadable(str(file)))
    for text in TEXTS:
        assert read(text).input_ids == tokenizer(text).input_ids
    assert (read.bos_token, read.eos_token) == (tokenizer.bos_token, tokenizer.eos_token)
    chat = [{"role": "user", "content": "One"}]
    assert read.apply_chat_template(chat, tokenize=False) == tokenizer.apply_chat_template(chat, tokenize=False)


def test_digits_are_split_apart_where_the_merges_were_learned_so(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = tiny_llama(len(tokenizer))
    read = AutoTokenizer.from_pretrained(loadable(str(write_gguf(tmp_path / "a.gguf", model, tokenizer, pre="smollm"))))
    pieces = [piece for piece, _ in read.backend_tokenizer.pre_tokenizer.pre_tokenize_str("it's  12 o'clock")]
    assert pieces == ["it", "'s", "ĠĠ", "1", "2", "Ġo", "'", "clock"]


def test_llama_3s_scaled_rotations_are_recognized(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    rope = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    original = tiny_llama(len(tokenizer), rope_parameters=rope)
    plain = 500000.0 ** -(np.arange(4) / 4)
    factors = (plain / original.model.rotary_emb.inv_freq.numpy()).astype(np.float32)
    assert factors.max() == pytest.approx(32.0)
    extra = {"rope_freqs.weight": factors}
    file = write_gguf(tmp_path / "tiny.gguf", original, tokenizer, extra=extra)
    model, _ = load_backbone(BackboneConfig(path=str(file), tuning="frozen"))
    torch.testing.assert_close(logits(model.eval()), logits(original), atol=1e-5, rtol=1e-5)


def test_a_file_is_converted_once_wherever_it_lies(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    folder = Path(loadable(str(file)))
    made = (folder / "model.safetensors").stat().st_mtime_ns
    moved = file.rename(tmp_path / "sha256-0815")  # Ollama's files have no ending
    assert Path(loadable(str(moved))) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made


def test_what_lies_beside_a_file_is_not_read(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "chat_template.jinja"):
        (tmp_path / name).write_text("{ no JSON")
    check_backbone(BackboneConfig(path=str(file)), uses=["answer"])
    _, read = load_backbone(BackboneConfig(path=str(file), tuning="frozen"))
    assert read("An alien")["input_ids"] == tokenizer("An alien")["input_ids"]


@pytest.mark.parametrize("kept", [3, 20, 30, 2_000, -200])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, kept: int) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="cut short" if kept != 3 else "no .gguf file"):
        loadable(str(file))


def test_damaged_headers_are_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(60):
        place = int(rng.integers(4, 700))
        file.write_bytes(content[:place] + rng.bytes(6) + content[place + 6 :])
        with suppress(CheckpointError):  # any other exception fails; what is damaged may be mere text
            loadable(str(file))
            accepted += 1
    assert accepted < 30


def change(content: bytes, before: bytes, after: bytes) -> bytes:
    assert content.count(before) >= 1
    return content.replace(before, after)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"about": {"split.count": 3}}, "one of 3 parts"),
        ({"about": {"general.type": "adapter"}}, "holds no model but 'adapter'"),
        ({"architecture": "clip"}, "'clip'.*Take the model in Hugging Face format"),
        ({"about": {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}}, "rotations.*'linear'"),
        ({"extra": {"rope_freqs.weight": np.full(4, 3.0, np.float32)}}, "rotations.*'rope_freqs.weight'"),
    ],
)
def test_what_would_not_be_read_rightly_is_refused(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, options: dict[str, Any], message: str, cache: Path
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer, **options)
    with pytest.raises(CheckpointError, match=message):
        loadable(str(file))
    assert not list(cache.rglob("*.safetensors"))


def test_a_missing_tensor_is_named(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    file.write_bytes(change(file.read_bytes(), b"blk.1.ffn_up.weight", b"blk.1.ffn_ab.weight"))
    with pytest.raises(CheckpointError, match=r"lacks 'model\.layers\.1\.mlp\.up_proj\.weight'"):
        loadable(str(file))


def test_an_old_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.gguf").write_bytes(b"GGUF\x01\0\0\0" + bytes(16))
    with pytest.raises(CheckpointError, match="version 1; versions 2 and 3 are read"):
        loadable(str(tmp_path / "old.gguf"))


def test_a_file_that_is_not_there_and_a_cache_that_is_none_are_told(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match=r"backbone file .*none.gguf' does not exist"):
        loadable(str(tmp_path / "none.gguf"))
    file = write_gguf(tmp_path / "tiny.gguf", tiny_llama(len(tokenizer)), tokenizer)
    monkeypatch.setenv("LLARA_CACHE", str(file))
    with pytest.raises(DataError, match="Set LLARA_CACHE to a folder"):
        loadable(str(file))
