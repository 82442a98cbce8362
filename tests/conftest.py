"""Fixtures that every stage shares."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedTokenizerFast

    from llara.data import Catalog, Dataset


settings.register_profile("no deadline", deadline=None)  # a busy machine is no bug
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the repository; tests that need it skip where it is missing."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LLARA_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set LLARA_REAL_DATA to a folder that has movielens_100k, lastfm, ...")
    return folder


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of a real language model, SmolLM2-135M; tests that need it skip where nobody has fetched it."""
    from llara.model.gguf import cache_folder

    folder = Path(os.environ.get("LLARA_REAL_BACKBONE", cache_folder() / "tests" / "smollm2-135m"))
    if not (folder / "config.json").is_file():
        pytest.skip(f"no pretrained model at {folder}; `make backbone` fetches it")
    return folder


TINY_TITLES = (
    "Alien", "Aliens", "Alien 3", "Dune", "Dune", "Amélie", "unknown", "The Thing", "Blade Runner: The Final Cut",
    "Toy Story", "Toy Story 2", "Heat", "Fargo", "Se7en", "Psycho", "Jaws", "Rocky", "Big",
    "E.T. the Extra-Terrestrial", "Up", "WALL-E", "Brazil", "Ran", "M",
)  # fmt: skip
"""Prefixes of each other, duplicates, one word, many words, accents: what real catalogs hold."""


@pytest.fixture(scope="session")
def tiny_catalog() -> "Catalog":
    """24 movies, item ids 101..124, with two metadata columns."""
    import polars as pl

    from llara.data import Catalog

    count = len(TINY_TITLES)
    return Catalog(
        item_ids=(-1, *range(101, 101 + count)),
        titles=("", *TINY_TITLES),
        noun="movie",
        metadata=pl.DataFrame(
            {
                "year": [1970 + 2 * row for row in range(count)],
                "genres": ["Horror" if row % 3 else None for row in range(count)],
            }
        ),
    )


TokenizerKind = Literal["nano", "gpt2", "metaspace", "unigram", "chat"]


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_catalog: "Catalog") -> "Callable[[TokenizerKind], PreTrainedTokenizerFast]":
    """Tokenizers of the kinds that backbones bring, each learned from the tiny catalog; made once per kind."""
    texts = [
        *tiny_catalog.titles,
        "One of these movies came next:\n The next movie: 0123456789",
        "aäbcdefghijklmnopqrstuvwxyz",
    ]

    @cache
    def make(kind: TokenizerKind) -> "PreTrainedTokenizerFast":
        from llara.model.nano import train_tokenizer

        if kind == "nano":
            return train_tokenizer(texts, vocabulary=400)
        return _gpt2_like(texts, chat=kind == "chat") if kind in ("gpt2", "chat") else _sentencepiece_like(texts, kind)

    return make


CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _gpt2_like(texts: list[str], *, chat: bool) -> "PreTrainedTokenizerFast":
    """Byte-level BPE without begin token; one token for unknown, begin and end; optionally ChatML with added tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    end = "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=380,
            special_tokens=[end],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, bos_token=end, unk_token=end)
    if chat:
        made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
        made.add_tokens(["[HistoryEmb]", "<tool>"])
        made.chat_template = CHAT_TEMPLATE
    return made


def _sentencepiece_like(texts: list[str], kind: TokenizerKind) -> "PreTrainedTokenizerFast":
    """A BPE or Unigram model over words that start with a mark, with unknown and begin tokens (as Llama 2)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>"]
    bpe = kind == "metaspace"
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>") if bpe else models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer: trainers.Trainer = (
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
        if bpe
        else trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    made.add_tokens(["[HistoryEmb]"])
    return made


@pytest.fixture
def toy_items() -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(
        {
            "item_id": list(range(10, 40)),
            "title": [f"Title {number}" for number in range(30)],
            "year": [1990 + number for number in range(30)],
        }
    )


@pytest.fixture
def toy_interactions() -> "pl.DataFrame":
    """Ten users, user 100 + u starts at time u and has 6 interactions; the file is in an order of its own."""
    import polars as pl

    users, items, times = [], [], []
    for user in range(10):
        for position in range(6):
            users.append(100 + user)
            items.append(10 + (user * 3 + position * 5) % 30)
            times.append(user + 100 * position)
    frame = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": times})
    return frame.sample(fraction=1.0, shuffle=True, seed=3)


@pytest.fixture
def toy_folder(tmp_path: Path, toy_items: "pl.DataFrame", toy_interactions: "pl.DataFrame") -> Path:
    from llara.data import write_dataset

    folder = tmp_path / "toy"
    write_dataset(
        folder, interactions=toy_interactions, items=toy_items, name="toy", noun="book", origin={"by": "hand"}
    )
    return folder


@pytest.fixture
def toy(toy_folder: Path) -> "Dataset":
    from llara.data import load_dataset

    return load_dataset(toy_folder)
