"""Products by either library: the same numbers, for every layout and size that we ask for."""

import pytest
import torch

from llara.model.kernels import products
from llara.model.kernels.products import linear_product, onednn_is_faster


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("rows", "width", "out"), [(3, 4, 5), (300, 256, 128), (2048, 64, 8 * 33)])
def test_products_are_those_of_torch(dtype: torch.dtype, rows: int, width: int, out: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    x, weight = (torch.randn(n, width, generator=generator).to(dtype) for n in (rows, out))
    for w in (weight, weight.T.contiguous().T):
        found = linear_product(x, w)
        assert found.dtype == dtype
        torch.testing.assert_close(found, x @ weight.T, atol=1e-4, rtol=1e-4)


def test_the_other_library_gives_the_same_where_there_is_one() -> None:
    x, weight = torch.randn(70, 33), torch.randn(21, 33)
    try:
        found = products._by_onednn(x, weight)
    except (AttributeError, RuntimeError):
        pytest.skip("this torch has no oneDNN")
    torch.testing.assert_close(found, x @ weight.T, atol=1e-4, rtol=1e-5)


def test_the_choice_is_made_once() -> None:
    assert onednn_is_faster() is onednn_is_faster()
