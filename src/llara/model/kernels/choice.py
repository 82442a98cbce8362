"""Which speed-ups are used: the one place that decides, and that names what they need beyond public interfaces.

| kernel | used where | else, the public library's |
|---|---|---|
| attention | CPU, the backbone attends by `sdpa` | `sdpa` |
| llama_layers | CPU, layers are exactly transformers' Llama's | those layers |
| lora | plain linear layers, one active adapter | peft's `Linear` |
| products | float32 on CPU, where a trial says oneDNN | `x @ weight.T` |
| last_layer | the last layer has an `mlp` that treats every token alone | all positions |
| allocation | glibc | the C library's own way |
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn
from transformers import PreTrainedModel

from llara.model.kernels.attention import use_cpu_attention
from llara.model.kernels.llama_layers import use_cpu_layers

if TYPE_CHECKING:
    from peft import LoraConfig


@dataclass(frozen=True)
class PrivateApi:
    """Something that a library does not promise to keep.

    Attributes:
        library: Whose it is.
        name: What is used.
        kernel: By which module here.
        tried: Version that it was tried on.
        without: What happens in a version that lacks it.
    """

    library: str
    name: str
    kernel: str
    tried: str
    without: str


PRIVATE_APIS = (
    PrivateApi("torch", "torch.ops.mkldnn._linear_pointwise", "products", "2.13.0", "torch multiplies"),
    PrivateApi("torch", "torch._softmax_backward_data", "attention", "2.13.0", "the same formula in public functions"),
    PrivateApi("peft", "LoraConfig._register_custom_module", "choice", "0.21.2", "peft's own layers"),
    PrivateApi(
        "transformers",
        "config._attn_implementation",
        "attention",
        "5.23.0",
        "the model keeps the attention that it was loaded with",
    ),
    PrivateApi(
        "transformers",
        "models.llama.modeling_llama.LlamaAttention.forward, rewritten",
        "llama_layers",
        "5.23.0",
        "layers of another class are left alone; the self-test compares what they give with plain passes",
    ),
)


def use_kernels(model: PreTrainedModel) -> None:
    """Let a backbone compute by the kernels that suit it; weights, their names and saved files stay as they are."""
    use_cpu_attention(model)
    use_cpu_layers(model)


def use_own_adapters(lora: "LoraConfig", model: PreTrainedModel) -> None:
    """Let peft adapt plain linear layers by ours; quantized and transposed ones stay with its own."""
    from llara.model.kernels.lora import LoraLinear  # noqa: PLC0415 - peft takes a second to import

    register = getattr(lora, "_register_custom_module", None)
    if register is not None and not getattr(model, "is_quantized", False):
        register({nn.Linear: LoraLinear})
