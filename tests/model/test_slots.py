"""Kinds of slots: a new one is one class and one registration, and changes the vectors at its positions only."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from llara.errors import ConfigError
from llara.model import Llara, score_candidates
from llara.model.sharing import rows_by_prefix
from llara.model.slots import SLOT_KINDS, SlotHost, register_slot_kind
from llara.prompt import PromptConfig, collate
from llara.prompt import slots as prompt_slots

Build = Callable[..., Llara]
PLAIN = "Seen:{history}\nOne of:{candidates}\nNext:"


class Season:
    """One of four learned vectors, as the caller says."""

    name = "season"

    def build(self, host: SlotHost) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(host.seed)
            return nn.Embedding(4, host.width)

    def vectors(self, host: SlotHost, keys: Tensor, histories: Tensor) -> Tensor:
        found: Tensor = host.slots[self.name](keys)
        return found


@pytest.fixture
def season() -> Iterator[None]:
    register_slot_kind(Season())
    yield
    del SLOT_KINDS["season"]
    prompt_slots._fields.remove("season")


@pytest.mark.usefixtures("season")
def test_a_registered_kind_changes_the_vectors_at_its_positions_only(build: Build) -> None:
    prompt = PromptConfig(templates=("In {season}, seen:{history}\nOne of:{candidates}\nNext:",))
    llara = build("llama", prompt=prompt)
    rows = [llara.encode_prompt([9, 24], [1, 2, 4], slots={"season": season}) for season in (0, 3)]
    one, other = (llara.embed(collate([row], hybrid=[True], filler=llara.encoder.filler))[0] for row in rows)
    changed = (one != other).any(dim=-1).nonzero().flatten().tolist()
    assert changed == [placed.position for placed in rows[0].other_slots]
    assert len(changed) == 1
    torch.testing.assert_close(other[changed[0]], llara.slots["season"].weight[3])  # type: ignore[index]
    without = llara.embed(collate(rows, hybrid=[False, True], filler=llara.encoder.filler))
    torch.testing.assert_close(without[0, changed[0]], llara.placeholder)
    assert any(name.startswith("slots.season") for name in llara.trainable())


@pytest.mark.usefixtures("season")
def test_its_weights_are_saved_and_its_slots_counted(build: Build, tmp_path: Path) -> None:
    prompt = PromptConfig(templates=("{season}{history}\nOne of:{candidates}\nNext:",))
    llara = build("nano", prompt=prompt)
    llara.save_pretrained(tmp_path)
    opened = Llara.from_pretrained(tmp_path)
    assert torch.equal(opened.slots["season"].weight, llara.slots["season"].weight)  # type: ignore[arg-type]
    np.testing.assert_allclose(opened.score([[103]], [[101, 102]]), llara.score([[103]], [[101, 102]]), atol=1e-6)
    encoded = llara.encode_prompt([9, 24], [1, 2])
    assert llara.encoder.prompt_lengths([[9, 24]], [[1, 2]], [0]).tolist() == [len(encoded.token_ids)]


@pytest.mark.parametrize("scorer", ["answer", "listwise"])
def test_a_user_slot_scores_alike_with_and_without_shared_prefixes(scorer: str, build: Build) -> None:
    llara = build("llama", prompt=PromptConfig(templates=("{user} saw:{history}\nOne of:{candidates}\nNext:",)))
    histories = [[9, 24, 3]] * 9 + [[3, 9]]
    candidates = [[1 + row, 12 + row] for row in range(10)]
    found = score_candidates(llara, histories, candidates, scorer=scorer)  # type: ignore[arg-type]
    alone = [
        score_candidates(llara, [history], [items], scorer=scorer)[0]  # type: ignore[arg-type]
        for history, items in zip(histories, candidates, strict=True)
    ]
    np.testing.assert_allclose(found, alone, atol=1e-4)


@pytest.mark.usefixtures("season")
def test_rows_whose_slots_hold_other_things_do_not_begin_alike(build: Build) -> None:
    llara = build("llama", prompt=PromptConfig(templates=("{season} after:{history}\nOne of:{candidates}\nNext:",)))
    prompts = [llara.encode_prompt([9, 24, 3], [1, 2], slots={"season": row // 8}) for row in range(16)]
    assert len({tuple(prompt.token_ids) for prompt in prompts}) == 1
    groups, others = rows_by_prefix(llara, prompts)
    assert ([rows for _, rows in groups], others) == ([list(range(8)), list(range(8, 16))], [])


def test_models_without_such_slots_have_none(build: Build) -> None:
    llara = build("nano", prompt=PromptConfig(templates=(PLAIN,)))
    assert not [name for name in llara.state_dict() if name.startswith("slots")]
    assert not llara.encode_prompt([9], [1, 2]).other_slots


@pytest.mark.parametrize("name", ["item", "user", "history", "no name"])
def test_names_that_are_taken_are_refused(name: str) -> None:
    kind = Season()
    kind.name = name
    with pytest.raises(ConfigError, match="taken or no identifier"):
        register_slot_kind(kind)


def test_templates_name_known_kinds_only() -> None:
    with pytest.raises(ConfigError, match=r"unknown field \{mood\}; known: .*user"):
        PromptConfig(templates=("{mood}" + PLAIN,)).build_templates("movie")
