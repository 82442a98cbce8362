"""Attention by plain products: the fused kernel's numbers, and the fused kernel itself where it does not apply."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from llara.data import Catalog
from llara.model import Llara, NanoConfig, build_nano, score_candidates
from llara.model.backbone import causal_lm
from llara.model.kernels.attention import ATTENTION, LONGEST_PRODUCT, causal_product, cpu_attention, use_cpu_attention

B, T, D = 2, 7, 8


class Layer(nn.Module):
    """What attention asks of its layer."""

    def __init__(self, groups: int = 1, *, is_causal: bool = True) -> None:
        super().__init__()
        self.num_key_value_groups = groups
        self.is_causal = is_causal


def inputs(
    heads: int, key_heads: int, *, dtype: torch.dtype = torch.bfloat16, queries: int = T, keys: int = T
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(heads + key_heads)
    shapes = [(heads, queries), (key_heads, keys), (key_heads, keys)]
    query, key, value = (torch.randn(B, h, t, D, generator=generator).to(dtype).requires_grad_() for h, t in shapes)
    return query, key, value


def masks(dtype: torch.dtype) -> dict[str, Tensor | None]:
    """No mask (causal), an answer tree with padding, and a causal window of three as booleans."""
    reach = torch.tensor([[7, 7, 7, 5, 5, 7, 7], [7, 7, 3, 5, 5, 6, 7]])
    columns = torch.arange(T)
    visible = (columns <= columns[:, None]) & (columns[:, None] < reach[:, None, :])
    tree = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)[:, None]
    near = torch.ones(T, T, dtype=torch.bool).tril().triu(-2).expand(B, 1, T, T)
    return {"none": None, "tree": tree, "boolean": near}


def with_gradients(
    attention: Callable[..., tuple[Tensor, object]],
    given: tuple[Tensor, Tensor, Tensor],
    mask: Tensor | None,
    groups: int,
) -> list[Tensor]:
    """Output, then the gradients of query, key and value under a fixed random weighting of the output."""
    output, _ = attention(Layer(groups), *given, mask)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(9)).to(output.dtype)
    return [output, *torch.autograd.grad((output * weights).sum(), given)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_mask_of_the_last_queries_leaves_those_before_causal(dtype: torch.dtype, groups: int) -> None:
    given = inputs(4, 4 // groups, dtype=dtype)
    whole = masks(dtype)["tree"]
    assert whole is not None
    start = 3  # of the first row's answers; the second row begins with three causal columns as well
    whole[1] = whole[0]
    expected = with_gradients(cpu_attention, given, whole, groups)
    found = with_gradients(cpu_attention, given, whole[:, :, start:], groups)
    for one, other in zip(found, expected, strict=True):
        tolerance = 1e-5 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("kind", ["none", "tree", "boolean"])
def test_outputs_and_gradients_in_bfloat16_are_those_of_the_fused_kernel(kind: str, heads: int, key_heads: int) -> None:
    given, groups = inputs(heads, key_heads), heads // key_heads
    mask = masks(torch.bfloat16)[kind]
    found = with_gradients(cpu_attention, given, mask, groups)
    fused = with_gradients(sdpa_attention_forward, given, mask, groups)
    query, key, value = (tensor.detach().float().requires_grad_() for tensor in given)
    exact = with_gradients(sdpa_attention_forward, (query, key, value), masks(torch.float32)[kind], groups)
    for ours, theirs, reference in zip(found, fused, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours.float(), reference, atol=0.05, rtol=0.03)
        torch.testing.assert_close(ours, theirs, atol=0.06, rtol=0.03)
        # As near to the exact numbers as the fused kernel is, but for a factor.
        assert (ours.float() - reference).abs().mean() < 3 * (theirs.float() - reference).abs().mean() + 1e-3


@pytest.mark.parametrize("kind", ["none", "tree", "boolean"])
def test_in_float32_without_gradients_it_is_the_fused_kernel_bit_by_bit(kind: str) -> None:
    given, mask = inputs(4, 2, dtype=torch.float32), masks(torch.float32)[kind]
    with torch.no_grad():
        found, fused = (attention(Layer(2), *given, mask)[0] for attention in (cpu_attention, sdpa_attention_forward))
    assert torch.equal(found, fused)


@pytest.mark.parametrize(("kind", "length"), [("tree", T), ("boolean", T), *(("none", n) for n in (T, 64, 65, 200))])
def test_in_float32_outputs_and_gradients_are_those_of_the_fused_kernel(kind: str, length: int) -> None:
    given, mask = inputs(4, 2, dtype=torch.float32, queries=length, keys=length), masks(torch.float32)[kind]
    found, fused = (with_gradients(attention, given, mask, 2) for attention in (cpu_attention, sdpa_attention_forward))
    for ours, theirs in zip(found, fused, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_gradients_of_causal_blocks_are_right() -> None:
    generator = torch.Generator().manual_seed(2)
    given = [torch.randn(1, 2, 70, 3, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(causal_product, given, nondet_tol=1e-12, fast_mode=True)
    behind = (given[0][:, :, 4:].detach().requires_grad_(), *given[1:])
    assert torch.autograd.gradcheck(causal_product, behind, nondet_tol=1e-12, fast_mode=True)


@pytest.mark.parametrize(("queries", "keys"), [(70, 70), (66, 70), (1, 70)])
@pytest.mark.parametrize("key_heads", [1, 2, 6])
def test_heads_that_share_keys_attend_as_by_the_plain_formula(queries: int, keys: int, key_heads: int) -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = [(6, queries), (key_heads, keys), (key_heads, keys)]
    given = [torch.randn(2, h, t, 4, dtype=torch.float64, generator=generator).requires_grad_() for h, t in shapes]
    weights = torch.randn(2, queries, 6, 4, dtype=torch.float64, generator=generator)

    def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        key, value = (part.repeat_interleave(6 // key_heads, dim=1) for part in (key, value))
        hidden = torch.ones(queries, keys, dtype=torch.bool).triu(keys - queries + 1)
        scores = (0.3 * query @ key.transpose(2, 3)).masked_fill(hidden, float("-inf"))
        return (scores.softmax(dim=-1) @ value).transpose(1, 2)

    outputs = [causal_product(*given, scaling=0.3), plain(*given)]
    found, expected = ([each, *torch.autograd.grad((each * weights).sum(), given)] for each in outputs)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-9)


def test_under_autocast_all_three_have_one_precision() -> None:
    query, key, value = inputs(2, 2, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = cpu_attention(Layer(), query, key, value.bfloat16(), None)
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()  # type: ignore[no-untyped-call]
    assert query.grad is not None
    assert query.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("queries", "keys", "dropout"), [(1, 7, 0.0), (7, 7, 0.5), (LONGEST_PRODUCT + 1,) * 2 + (0.0,)]
)
def test_what_products_do_not_suit_goes_to_the_fused_kernel(queries: int, keys: int, dropout: float) -> None:
    given = inputs(1, 1, queries=queries, keys=keys)
    found = []
    for attention in (cpu_attention, sdpa_attention_forward):
        torch.manual_seed(0)
        found.append(attention(Layer(), *given, None, dropout=dropout)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("queries", "keys"), [(3, 7), (70, 90), (70, LONGEST_PRODUCT + 1)])
@pytest.mark.parametrize("learns", [True, False])
def test_behind_a_prefix_the_last_query_sees_every_key(
    queries: int, keys: int, learns: bool, dtype: torch.dtype
) -> None:
    given = inputs(2, 2, queries=queries, keys=keys, dtype=dtype)
    visible = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).expand(B, 1, -1, -1)
    answers = torch.zeros(B, 1, 2, keys, dtype=dtype)
    answers[:, :, 0, -1] = torch.finfo(dtype).min
    with torch.set_grad_enabled(learns):
        expected = sdpa_attention_forward(Layer(), *given, visible)[0]
        for mask in (None, answers):
            found = cpu_attention(Layer(), *given, mask)[0]
            tolerance = 1e-5 if dtype == torch.float32 else 2e-2
            torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("layer_is_causal", "asked"), [(False, None), (True, False), (False, True), (True, None)])
def test_the_argument_goes_before_the_layers_own_causality(layer_is_causal: bool, asked: bool | None) -> None:
    given = inputs(2, 2)
    layer = Layer(is_causal=layer_is_causal)
    ours, fused = (
        attention(layer, *given, None, is_causal=asked)[0] for attention in (cpu_attention, sdpa_attention_forward)
    )
    torch.testing.assert_close(ours, fused, atol=0.03, rtol=0.03)
    first = given[2][:, :, 0]  # a causal first token sees itself only
    assert torch.equal(ours[:, 0], first) == (layer_is_causal if asked is None else asked)


def test_a_scale_of_the_layers_own_is_used() -> None:
    given = inputs(2, 2)
    ours, fused, usual = (
        attention(Layer(), *given, None, scaling=scaling)[0]
        for attention, scaling in ((cpu_attention, 1.5), (sdpa_attention_forward, 1.5), (cpu_attention, None))
    )
    torch.testing.assert_close(ours, fused, atol=0.06, rtol=0.03)
    assert not torch.allclose(ours, usual, atol=0.1)


@pytest.mark.parametrize(("chosen", "after"), [("eager", "eager"), ("sdpa", ATTENTION)])
def test_only_a_model_that_attends_by_the_fused_kernel_is_changed(
    chosen: str, after: str, backbone_folder: Callable[[str], str]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(backbone_folder("llama"), attn_implementation=chosen)
    use_cpu_attention(model)
    assert model.config._attn_implementation == after


@pytest.mark.parametrize("shape", ["nano", "llama", "gpt2", "mistral"])
def test_every_backbone_attends_by_it_and_scores_as_with_the_fused_kernel(
    shape: str, build: Callable[..., Llara]
) -> None:
    llara = build(shape, precision="bfloat16")
    lm = causal_lm(llara.model)
    assert lm.config._attn_implementation == ATTENTION
    histories, candidates = [[3, 8, 20], [11]], [[1, 2, 9, 4], [5, 19, 2, 1]]
    found = [score_candidates(llara, histories, candidates, scorer=scorer) for scorer in ("answer", "listwise")]
    lm.set_attn_implementation("sdpa")
    fused = [score_candidates(llara, histories, candidates, scorer=scorer) for scorer in ("answer", "listwise")]
    for ours, theirs in zip(found, fused, strict=True):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), atol=0.15, rtol=0.03)


def test_a_new_nano_attends_by_it(tiny_catalog: Catalog) -> None:
    shape = NanoConfig(hidden_size=32, num_layers=1, num_heads=4, vocabulary=400)
    model, _ = build_nano(tiny_catalog.titles, shape, seed=0)
    assert model.config._attn_implementation == ATTENTION
