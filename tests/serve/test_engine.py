from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from llara.data import Catalog
from llara.errors import CheckpointError, DataError
from llara.model import BackboneConfig, Llara, NanoConfig
from llara.model.kernels.lora import LoraLinear
from llara.recommender import SASRec
from llara.serve import Engine


@pytest.fixture(scope="module")
def engine(tiny_catalog: Catalog) -> Engine:
    """A random model that reads the latest three items."""
    nano = NanoConfig(hidden_size=32, num_layers=1, num_heads=2, vocabulary=400)
    recommender = SASRec(tiny_catalog.num_items, width=16, seed=0)
    llara = Llara.from_backbone(BackboneConfig(tuning="frozen", nano=nano), recommender, tiny_catalog)
    return Engine(llara.eval(), history_length=3)


def test_ranking_holds_what_was_read_and_what_follows(engine: Engine) -> None:
    ranking = engine.recommend([101, 102, 103, 104, 105], k=4, num_retrieved=8)
    assert ranking.history == ((103, "Alien 3"), (104, "Dune"), (105, "Dune"))
    assert [item.rank for item in ranking.items] == [1, 2, 3, 4]
    assert not {item.item_id for item in ranking.items} & {101, 102, 103, 104, 105}
    assert all(1 <= item.retrieval_rank <= 8 for item in ranking.items)


def test_only_the_latest_items_shape_the_scores(engine: Engine) -> None:
    long = engine.recommend([124, 101, 102, 103], k=20, num_retrieved=30)
    short = engine.recommend([101, 102, 103], k=24, num_retrieved=30)
    assert long.history == short.history
    assert [item.item_id for item in long.items] == [item.item_id for item in short.items if item.item_id != 124]


@pytest.mark.parametrize("kind", [int, str])
def test_ids_may_be_typed_as_text(engine: Engine, kind: Callable[[int], int | str]) -> None:
    ranking = engine.recommend([kind(101), kind(110)], k=3)
    assert ranking == engine.recommend([101, 110], k=3)


def test_json_form_holds_plain_values(engine: Engine) -> None:
    content = engine.recommend([101], k=1).as_json()
    assert content["history"] == [{"item_id": 101, "title": "Alien"}]
    assert set(content["recommendations"][0]) == {"rank", "item_id", "title", "score", "retrieval_rank"}


def test_same_request_gets_the_same_answer_after_saving(engine: Engine, tmp_path: Path) -> None:
    engine.llara.save_pretrained(tmp_path)
    opened = Engine.open(tmp_path, history_length=3)
    before, after = (each.recommend([101, 110], k=5) for each in (engine, opened))
    assert [item.item_id for item in before.items] == [item.item_id for item in after.items]
    assert [item.score for item in before.items] == pytest.approx([item.score for item in after.items], abs=1e-6)


def test_an_engine_folds_adapters_until_it_is_closed(tiny_catalog: Catalog) -> None:
    nano = NanoConfig(hidden_size=32, num_layers=1, num_heads=2, vocabulary=400)
    recommender = SASRec(tiny_catalog.num_items, width=16, seed=0)
    llara = Llara.from_backbone(
        BackboneConfig(tuning="lora", nano=nano, precision="float32"), recommender, tiny_catalog
    )
    layers = [module for module in llara.modules() if isinstance(module, LoraLinear)]
    with torch.no_grad():
        for layer in layers:
            for weight in layer.lora_B.parameters():
                weight.normal_(std=0.1)
    plain = Engine(llara, history_length=3, fold=False).recommend([101, 110], k=5)
    with Engine(llara, history_length=3) as engine:
        assert all(layer.folded is not None for layer in layers)
        folded = engine.recommend([101, 110], k=5)
    assert [item.item_id for item in folded.items] == [item.item_id for item in plain.items]
    assert [item.score for item in folded.items] == pytest.approx([item.score for item in plain.items], abs=1e-4)
    assert all(layer.folded is None for layer in layers)
    assert engine.recommend([101, 110], k=5) == plain


def test_unknown_items_and_empty_histories_are_refused(engine: Engine) -> None:
    with pytest.raises(DataError, match="history is empty"):
        engine.recommend([])
    with pytest.raises(DataError, match="9999"):
        engine.recommend([101, 9999])
    with pytest.raises(DataError, match="k = 0"):
        engine.recommend([101], k=0)


def test_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no llara"):
        Engine.open(tmp_path, history_length=10)
