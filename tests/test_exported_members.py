import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import llara

PUBLIC = ["Caser", "GRU4Rec", "Llara", "Run", "SASRec", "Trainer", "evaluate_model", "load_dataset", "split_users"]


def test_public_names_are_these() -> None:
    assert sorted(llara.__all__) == sorted([*PUBLIC, "__version__"])
    assert dir(llara) == sorted(llara.__all__)
    assert llara.__version__


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_documented_and_can_be_called(name: str) -> None:
    member = getattr(llara, name)
    assert callable(member)
    assert inspect.getdoc(member)


def test_a_package_is_a_package_and_no_public_name_hides_one() -> None:
    import llara.evaluate as package

    assert type(package) is ModuleType
    assert not callable(package)
    packages = {module.name for module in pkgutil.iter_modules(llara.__path__)}
    assert not packages & set(PUBLIC)


def test_unknown_name_is_an_attribute_error_that_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match="'SasRec'; public are Caser"):
        llara.SasRec  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_or_its_data_part_imports_no_torch() -> None:
    code = "import sys, llara, llara.cli, llara.data; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
