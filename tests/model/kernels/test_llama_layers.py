import copy

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from llara.model.kernels.llama_layers import CpuLlamaAttention, CpuRMSNorm, rotate_heads, use_cpu_layers


def small_llama(*, key_value_heads: int = 4, bias: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=60, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=key_value_heads, attention_bias=bias,
        )
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, LlamaRMSNorm):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def fast(model: LlamaForCausalLM) -> LlamaForCausalLM:
    changed = copy.deepcopy(model)
    use_cpu_layers(changed)
    return changed


@pytest.mark.parametrize("key_value_heads", [4, 2, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_logits_and_gradients_are_the_librarys(key_value_heads: int, bias: bool) -> None:
    plain = small_llama(key_value_heads=key_value_heads, bias=bias)
    ours = fast(plain)
    ids = torch.randint(60, (3, 17), generator=torch.Generator().manual_seed(1))
    results = []
    for model in (plain, ours):
        logits = model(input_ids=ids).logits
        logits.square().mean().backward()
        results.append((logits, {name: p.grad for name, p in model.named_parameters()}))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    assert results[0][1].keys() == results[1][1].keys()
    for name, gradient in results[0][1].items():
        assert gradient is not None
        assert torch.allclose(gradient, results[1][1][name], atol=1e-5, rtol=1e-4), name  # type: ignore[arg-type]


def test_layers_are_replaced_and_names_of_weights_stay() -> None:
    plain = small_llama()
    ours = fast(plain)
    kinds = [type(module) for module in ours.modules()]
    assert kinds.count(CpuRMSNorm) == 5
    assert kinds.count(CpuLlamaAttention) == 2
    assert list(ours.state_dict()) == list(plain.state_dict())


def test_later_tokens_read_the_cache_as_the_librarys_layers_do() -> None:
    plain = small_llama(key_value_heads=2)
    ids = torch.randint(60, (2, 12), generator=torch.Generator().manual_seed(1))
    found = []
    for model in (plain, fast(plain)):
        cache = DynamicCache()
        with torch.no_grad():
            model(input_ids=ids[:, :7], past_key_values=cache, use_cache=True)
            found.append(model(input_ids=ids[:, 7:], past_key_values=cache, use_cache=True).logits)
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_rotation_is_the_librarys_for_positions_of_their_own_in_each_row() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 5, 3 * 8, generator=generator)
    angle = torch.rand(2, 5, 4, generator=generator).repeat(1, 1, 2) * 6
    heads = x.view(2, 5, 3, 8).transpose(1, 2)
    expected, _ = apply_rotary_pos_emb(heads, heads, angle.cos(), angle.sin())
    assert torch.allclose(rotate_heads(x, angle.cos(), angle.sin()), expected.transpose(1, 2).flatten(2), atol=1e-6)


def norm_of(x: Tensor, kind: type[LlamaRMSNorm]) -> Tensor:
    norm = kind(x.shape[-1])
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 1.5, x.shape[-1]))
    found: Tensor = norm(x)
    return found


def test_norm_leaves_the_precision_of_the_products_that_read_it() -> None:
    x = torch.randn(4, 6, 16, generator=torch.Generator().manual_seed(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = norm_of(x.bfloat16(), CpuRMSNorm)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), norm_of(x.bfloat16().float(), LlamaRMSNorm), atol=2e-2)
    assert norm_of(x, CpuRMSNorm).dtype == torch.float32


def test_frozen_norms_get_no_gradient_and_pass_one_on() -> None:
    norm = CpuRMSNorm(16).requires_grad_(False)
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(4), requires_grad=True)
    norm(x).square().sum().backward()
    assert norm.weight.grad is None
    assert x.grad is not None
    assert float(x.grad.abs().max()) > 0
