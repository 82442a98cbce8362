"""Sentences of the README whose numbers are those of the stored benchmarks."""

from typing import Any


def scale(measured: dict[str, Any]) -> str:
    """How long ten million rows take, from `benchmarks/data_scale.json`."""
    costs = measured["costs"]["10000000"]
    loading = max(stage["wall_seconds"] for name, stage in costs.items() if name not in ("import", _WHOLE))
    return (
        f"Ten million rows are imported in {costs['import']['wall_seconds']:.0f} seconds and loaded and split in "
        f"{loading:.0f}, with at most {costs[_WHOLE]['peak_bytes'] / 1e9:.1f} GB ([how that was measured]"
        "(docs/benchmarks.md#from-a-file-to-examples))."
    )


_WHOLE = "import + slowest split"


def speed(measured: dict[str, Any]) -> str:
    """How fast scoring and training are against a plain implementation, from `benchmarks/speed.json`."""
    shapes = measured["shapes"]["135m"]
    half, single = (_factors(shapes[precision]) for precision in ("bfloat16", "float32"))
    memory = shapes["bfloat16"]["train"]["peak_bytes"] / shapes["bfloat16"]["reference-train"]["peak_bytes"]
    return "\n".join(
        [
            "How many times as fast, on two CPU cores, with a Llama of 135 million parameters, LoRA and 20 candidates:",
            "",
            "| | bfloat16 | float32 |",
            "|---|---:|---:|",
            f"| exact scoring of all candidates, against letting the model write 64 tokens | {half[0]} | {single[0]} |",
            f"| exact scoring of all candidates, against one pass for each | {half[1]} | {single[1]} |",
            f"| training, against plain transformers and peft | {half[2]} | {single[2]} |",
            "",
            f"Training in bfloat16 takes {memory:.0%} of the plain implementation's memory.",
        ]
    )


def _factors(stages: dict[str, Any]) -> list[str]:
    pairs = (("answer", "reference-generate"), ("answer", "reference-each"), ("train", "reference-train"))
    factors = [stages[ours]["rows_per_second"] / stages[theirs]["rows_per_second"] for ours, theirs in pairs]
    return [f"{factor:.1f} times" if factor < 10 else f"{factor:.0f} times" for factor in factors]
