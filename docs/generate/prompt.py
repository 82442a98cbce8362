"""One prompt as the language model reads it: a row of the bundled sample, each part annotated."""

import tempfile
from pathlib import Path

import numpy as np

from llara.data import SplitConfig, load_dataset, sample_candidates, split_dataset
from llara.ingest.sample import make_sample
from llara.prompt import build_prompt, render_prompt, templates_for

_ROW, _NEGATIVES, _SEED = 42, 4, 3
_ITEM_TEXT = "{title} ({author})"


def annotated_prompt() -> str:
    """What `render_prompt` gives for a test row, with remarks on its right; needs no model."""
    with tempfile.TemporaryDirectory() as folder:
        make_sample(Path(folder) / "sample", seed=0)
        dataset = load_dataset(Path(folder) / "sample", seed=0)
        test = split_dataset(dataset, SplitConfig(history_length=4)).test.select(np.array([_ROW]))
        catalog = dataset.catalog
        drawn = sample_candidates(test, num_items=catalog.num_items, num_negatives=_NEGATIVES, seed=_SEED)
        texts = catalog.texts(_ITEM_TEXT)
        prompt = build_prompt(templates_for(catalog.noun)[0], test.histories()[0], drawn.items[0].tolist())
        target = catalog.titles[int(test.target[0])]
        shown = render_prompt(prompt, lambda item: texts[item]).splitlines()
    return _annotated(shown, len(prompt.history), target)


def _annotated(lines: list[str], num_history: int, target: str) -> str:
    remarks = {
        0: "wording: one of three templates",
        1: "history, oldest first",
        2: "◆ is the slot of the book's behavioral token",
        num_history + 2: "candidates, shuffled: one was read next,",
        num_history + 3: "the others were drawn at random",
        len(lines) - 1: f"right is: {target}",
    }
    width = max(map(len, lines))
    return "\n".join(
        f"{line:<{width}}   ← {remarks[number]}" if number in remarks else line for number, line in enumerate(lines)
    )
