import inspect
import subprocess
import sys

import pytest

import llara

PUBLIC = ["Caser", "GRU4Rec", "Llara", "SASRec", "Trainer", "evaluate", "load_dataset", "split_users"]


def test_public_names_are_these() -> None:
    assert sorted(llara.__all__) == sorted([*PUBLIC, "__version__"])
    assert dir(llara) == sorted(llara.__all__)
    assert llara.__version__


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_documented_and_can_be_called(name: str) -> None:
    member = getattr(llara, name)
    assert callable(member)
    assert inspect.getdoc(member)


def test_evaluate_can_be_called_however_it_is_reached() -> None:
    import llara.evaluate as package
    from llara.evaluate.task import evaluate

    with pytest.raises(TypeError, match=r"evaluate\(\) missing 3 required positional arguments: 'llara', 'examples'"):
        llara.evaluate()  # type: ignore[call-arg]
    assert package.evaluate is evaluate


def test_unknown_name_is_an_attribute_error_that_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match="'SasRec'; public are Caser"):
        llara.SasRec  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_or_its_data_part_imports_no_torch() -> None:
    code = "import sys, llara, llara.cli, llara.data; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
