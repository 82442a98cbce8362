"""The adapter's layers: peft's numbers and gradients, and dropout that is right on average."""

import copy
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import Tensor, nn

from llara.model import BackboneConfig, Llara, LoraSettings, load_backbone, score_candidates
from llara.model.catalog_scores import FloatArray
from llara.model.kernels.lora import LoraLinear, lora_product


def rows(layer: LoraLinear, count: int) -> Tensor:
    return torch.randn(count, cast(nn.Linear, layer.get_base_layer()).in_features)


def layers(llama: nn.Module) -> list[LoraLinear]:
    return [module for module in llama.modules() if isinstance(module, LoraLinear)]


@pytest.fixture
def adapted(backbone_folder: Callable[[str], str]) -> nn.Module:
    model, _ = load_backbone(BackboneConfig(path=backbone_folder("llama"), lora=LoraSettings(rank=4)))
    generator = torch.Generator().manual_seed(1)
    for layer in layers(model):
        with torch.no_grad():
            cast(nn.Linear, layer.lora_B["default"]).weight.normal_(std=0.2, generator=generator)
    return model


def test_every_adapted_layer_is_ours(adapted: nn.Module) -> None:
    assert len(layers(adapted)) == sum(isinstance(module, PeftLinear) for module in adapted.modules()) > 0


@pytest.mark.parametrize("bias", [False, True])
def test_outputs_and_gradients_are_those_of_peft(adapted: nn.Module, bias: bool) -> None:
    layer = layers(adapted)[0].eval()
    base = cast(nn.Linear, layer.get_base_layer())
    if bias:
        base.bias = nn.Parameter(torch.randn(base.out_features), requires_grad=False)
    x = torch.randn(3, 5, base.in_features, requires_grad=True)
    weights = torch.randn(3, 5, base.out_features)
    learned = [cast(nn.Linear, part["default"]).weight for part in (layer.lora_A, layer.lora_B)]

    def results(output: Tensor) -> list[Tensor]:
        return [output, *torch.autograd.grad((output * weights).sum(), [x, *learned])]

    for ours, theirs in zip(results(layer(x)), results(PeftLinear.forward(layer, x)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_what_we_do_not_compute_ourselves_is_left_to_peft(adapted: nn.Module) -> None:
    layer = layers(adapted)[0].eval()
    x = rows(layer, 2)
    plain = layer.get_base_layer()(x)
    assert not torch.allclose(layer(x), plain)
    layer.enable_adapters(False)
    torch.testing.assert_close(layer(x), plain)
    layer.enable_adapters(True)
    merged = copy.deepcopy(layer)
    merged.merge()
    torch.testing.assert_close(merged(x), layer(x), atol=1e-5, rtol=1e-5)


def test_gradients_are_right_where_values_are_dropped() -> None:
    torch.manual_seed(3)
    x, down, up = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((6, 5), (2, 5), (4, 2)))
    weight = torch.randn(4, 5, dtype=torch.float64)

    def product(x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        torch.manual_seed(7)  # the same values are dropped each time
        return lora_product(x, weight, None, down, up, scaling=2.0, dropout=0.4)

    assert torch.autograd.gradcheck(product, (x, down, up))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_with_dropout_output_and_gradients_are_those_of_the_plain_formula(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(4)
    shapes = ((37, 24), (8, 24), (40, 8), (40, 24), (37, 40))  # 37 * 24 bits fill no whole number of words
    x, down, up, weight, weights = (torch.randn(*shape, generator=generator).to(dtype) for shape in shapes)
    torch.manual_seed(7)
    seed = int(torch.randint(2**62, ()))
    torch.manual_seed(7)
    bytes_ = np.random.Generator(np.random.SFC64(seed)).integers(0, 2**64, size=111, dtype=np.uint64).view(np.uint8)
    kept = torch.from_numpy(bytes_ < 230).view(37, 24)
    ours = [part.clone().requires_grad_() for part in (x, down, up)]
    theirs = [part.float().requires_grad_() for part in (x, down, up)]
    outputs = [
        lora_product(ours[0], weight, None, ours[1], ours[2], scaling=2.0, dropout=0.1),
        theirs[0] @ weight.float().T + 2.0 * 256 / 230 * (theirs[0] * kept) @ theirs[1].T @ theirs[2].T,
    ]
    found, expected = (
        [output, *torch.autograd.grad((output * weights).sum(), parts)]
        for output, parts in zip(outputs, (ours, theirs), strict=True)
    )
    for one, other in zip(found, expected, strict=True):
        error = float((one.float() - other).detach().norm() / other.detach().norm())
        assert error < (1e-5 if dtype == torch.float32 else 1e-2)


def test_what_was_dropped_is_kept_as_a_bit_for_each_value() -> None:
    saved: list[Tensor] = []

    def save(part: Tensor) -> Tensor:
        saved.append(part)
        return part

    x = torch.randn(64, 16, requires_grad=True)
    down, up = torch.randn(2, 16, requires_grad=True), torch.randn(8, 2, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda part: part):
        lora_product(x, torch.randn(8, 16), None, down, up, scaling=1.0, dropout=0.1)
    assert [part.numel() for part in saved if part.dtype == torch.uint8] == [64 * 16 // 8]


@given(st.floats(0.0, 0.95), st.sampled_from([torch.float32, torch.bfloat16]))
def test_what_is_kept_makes_up_for_what_is_dropped(dropout: float, dtype: torch.dtype) -> None:
    torch.manual_seed(5)
    x = torch.ones(4096, 16, dtype=dtype)
    nothing, down, up = (torch.zeros(1, 16, dtype=dtype), torch.eye(16, dtype=dtype), torch.ones(1, 16, dtype=dtype))
    sums = lora_product(x, nothing, None, down, up, scaling=1.0, dropout=dropout).float()
    assert abs(float(sums.mean()) - 16.0) < 16 * 0.05 / (1 - dropout)
    assert (float(sums.std()) > 0.0) == (dropout > 1 / 512)


def test_dropout_is_decided_by_the_seed_and_off_in_evaluation(adapted: nn.Module) -> None:
    layer = layers(adapted)[0]
    x = rows(layer, 64)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        output: Tensor = layer(x)
        return output

    layer.train()
    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    layer.eval()
    assert torch.equal(drawn(1), drawn(2))


def test_under_autocast_the_update_has_the_precision_of_the_products(adapted: nn.Module) -> None:
    layer = layers(adapted)[0].eval()
    x = rows(layer, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(x)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), layer(x), atol=0.1, rtol=0.05)
    output.float().sum().backward()
    gradient = cast(nn.Linear, layer.lora_B["default"]).weight.grad
    assert gradient is not None
    assert gradient.dtype == torch.float32


@pytest.mark.parametrize("shape", ["llama", "nano"])
@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_folded_adapters_score_the_same_and_are_gone_afterwards(
    shape: str, scorer: str, build: Callable[..., Llara], stir: Callable[[Llara], Llara]
) -> None:
    llara = stir(build(shape))
    layer = layers(llara.model)[0]

    def scored() -> FloatArray:
        return score_candidates(llara, [[9, 24], [3]], [[1, 2], [4, 5]], scorer=scorer)  # type: ignore[arg-type]

    before = scored()
    with llara.folded() as is_folded, llara.folded() as again:
        assert is_folded
        assert again
        found = scored()
        assert layer.folded is not None
        x = rows(layer, 3).requires_grad_()
        assert layer(x).grad_fn is not None  # passes with gradients still reach the adapter
    np.testing.assert_allclose(found, before, atol=1e-4, rtol=1e-6)
    assert not np.array_equal(found, before)
    assert layer.folded is None


def test_many_rows_are_scored_with_folded_adapters(build: Callable[..., Llara]) -> None:
    llara = build("llama")
    seen: list[bool] = []
    layer = layers(llara.model)[0]
    layer.register_forward_pre_hook(lambda module, _: seen.append(module.folded is not None))
    for count in (31, 32):
        histories = [[9, 3 + row % 20] for row in range(count)]
        score_candidates(llara, histories, [[1, 2]] * count, batch_size=32)
    assert seen == [False, True]
