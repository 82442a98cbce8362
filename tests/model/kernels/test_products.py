"""Products by either library: the same numbers, for every layout and size that we ask for."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from llara.model.kernels import products
from llara.model.kernels.products import Once, fastest_library, has_onednn, linear_product


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("rows", "width", "out"), [(3, 4, 5), (300, 256, 128), (2048, 64, 8 * 33)])
def test_products_are_those_of_torch(dtype: torch.dtype, rows: int, width: int, out: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, weight = (torch.randn(n, width, generator=generator).to(dtype) for n in (rows, out))
    for w in (weight, weight.T.contiguous().T):
        found = linear_product(x, w)
        assert found.dtype == dtype
        # By the same factor in the same layout: in bfloat16 the layout can decide how a sum is rounded.
        torch.testing.assert_close(found, x @ w.T, atol=1e-4, rtol=1e-4)
        exact = x.double() @ weight.double().T
        resolution = max(torch.finfo(dtype).eps, 1e-5)
        torch.testing.assert_close(found.double(), exact, atol=resolution * width**0.5, rtol=resolution)


def test_the_other_library_gives_the_same_where_there_is_one() -> None:
    x, weight = torch.randn(70, 33), torch.randn(21, 33)
    try:
        found = products._by_onednn(x, weight)
    except (AttributeError, RuntimeError):
        pytest.skip("this torch has no oneDNN")
    torch.testing.assert_close(found, x @ weight.T, atol=1e-4, rtol=1e-5)


def large(rows: int = 300, width: int = 1024, out: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors of a product large enough that the choice matters."""
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, width, generator=generator), torch.randn(out, width, generator=generator)


@pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")
def test_the_library_that_is_asked_for_multiplies() -> None:
    x, weight = large()
    by_torch, by_onednn = x @ weight.T, torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    if torch.equal(by_torch, by_onednn):
        pytest.skip("both libraries agree bit by bit on this processor")
    assert torch.equal(linear_product(x, weight, library="torch"), by_torch)
    assert torch.equal(linear_product(x, weight, library="onednn"), by_onednn)
    assert torch.equal(linear_product(x, weight), by_torch if fastest_library() == "torch" else by_onednn)
    few = x[:2]
    assert torch.equal(linear_product(few, weight, library="onednn"), few @ weight.T)


def test_a_trial_is_made_once_however_many_threads_ask_for_it() -> None:
    trials: list[int] = []

    def trial() -> int:
        time.sleep(0.05)  # until all threads have asked
        trials.append(len(trials))
        return trials[-1]

    once = Once(trial)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: once(), range(8)))
    assert found == [0] * 8
    assert trials == [0]
