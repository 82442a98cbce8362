"""Kernels are optional: the public interfaces give the same; the private ones are all named in one place."""

import inspect
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear as PeftLinear

import llara.model
from llara.model import Llara, score_candidates
from llara.model.kernels import allocation, attention, choice, last_layer, llama_layers, lora, products
from llara.model.kernels.choice import PRIVATE_APIS
from llara.model.kernels.lora import LoraLinear

ROOT = Path(__file__).resolve().parents[3]


def test_softmax_gradients_are_the_same_without_the_private_function(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, gradient = (torch.randn(2, 3, 5, 7, generator=generator) for _ in range(2))
    weight = weight.softmax(-1)
    fused = attention.softmax_backward(gradient, weight)
    monkeypatch.delattr(torch, "_softmax_backward_data")
    torch.testing.assert_close(attention.softmax_backward(gradient, weight), fused, atol=1e-6, rtol=1e-5)


def test_without_pefts_private_method_its_own_layers_score_the_same(
    build: Callable[..., Llara], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = score_candidates(build("llama"), [[9, 24]], [[1, 2, 4]])
    monkeypatch.delattr(LoraConfig, "_register_custom_module")
    plain = build("llama")
    adapted = [module for module in plain.modules() if isinstance(module, PeftLinear)]
    assert adapted
    assert not any(isinstance(module, LoraLinear) for module in adapted)
    np.testing.assert_allclose(score_candidates(plain, [[9, 24]], [[1, 2, 4]]), expected, atol=1e-5)


def test_private_interfaces_are_named_with_the_version_that_runs_here() -> None:
    modules = {module.__name__.rsplit(".", 1)[-1]: module for module in (attention, choice, llama_layers, products)}
    for api in PRIVATE_APIS:
        assert version(api.library).split("+")[0] == api.tried, f"try {api.name} again and note the version"
        assert api.name.split(".")[-1].split(",")[0] in inspect.getsource(modules[api.kernel])
    private = {"_linear_pointwise", "_softmax_backward_data", "_register_custom_module", "_attn_implementation"}
    assert private == {name for api in PRIVATE_APIS if (name := api.name.rsplit(".", 1)[-1]).startswith("_")}
    for module in (allocation, last_layer, lora):
        assert not any(name in inspect.getsource(module) for name in private)


def test_the_import_contract_names_every_module_of_the_model() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = next(each for each in contracts if each["type"] == "forbidden")["forbidden_modules"]
    others = {f"llara.model.{module.name}" for module in iter_modules(llara.model.__path__)} - {"llara.model.kernels"}
    assert set(forbidden) == others
