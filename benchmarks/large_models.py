"""The shapes of real backbones, random weights, bfloat16: throughput, share of the matrix peak, latency of a request.

    python -m benchmarks.large_models --shapes 1.5b 7b

Meant for one GPU (7b with LoRA needs about 40 GB); runs on CPUs as well, where it takes its time. Ratios are against
free generation of as many tokens as the longest candidate has, and eight more.
"""

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.data_scale import refresh
from benchmarks.measuring import machine
from benchmarks.speed_stage import matrix_peak, scoring_speed, timed, training_speed
from benchmarks.workload import Shape, Workload, llama_config, open_workload, prepare, title_tokenizer
from llara.model import BackboneConfig, Llara, LlaraConfig, generate_answers, score_candidates
from llara.model.backbone import LoraSettings, prepare_backbone
from llara.prompt import PromptEncoder
from llara.recommender import RecommenderConfig, best_device, build_recommender

_SCORERS = ("answer", "listwise")


SIZES = {
    "1.5b": Shape(1536, 28, 12, 8960, num_key_heads=2, vocabulary=151_936, ties_embeddings=True),
    "7b": Shape(4096, 32, 32, 11_008),
    "tiny": Shape(32, 2, 2, 64, num_key_heads=1, vocabulary=4096, ties_embeddings=True),
}
"""`1.5b` is Qwen2.5-1.5B's, `7b` Llama-2-7B's, `tiny` is for tests."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every shape and report it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(SIZES), default=["1.5b", "7b"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "llara-speed", help="of the data")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rows", type=int, default=96, help="of each throughput")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--output", type=Path, help="JSON file for all figures")
    parser.add_argument("--document", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args(arguments)
    prepare(options.folder, shapes=())
    workload = open_workload(options.folder)
    device = best_device()
    report: dict[str, Any] = {
        "machine": machine(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads",
        "peak_flop_per_second": matrix_peak("bfloat16", device.type),
        "batch_size": options.batch_size,
        "shapes": {},
    }
    for shape in options.shapes:
        report["shapes"][shape] = _measured(SIZES[shape], workload, options)
        gc.collect()
        torch.cuda.empty_cache()
    text = as_markdown(report)
    print(text)
    if options.output is not None:
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.document is not None:
        refresh(options.document, text, mark="large-models")


def build(size: Shape, workload: Workload) -> Llara:
    """A model of this size around random weights, on the best device: LoRA of rank 8 on seven projections."""
    catalog = workload.dataset.catalog
    tokenizer = title_tokenizer(workload.dataset)
    torch.manual_seed(0)
    with best_device():
        backbone: PreTrainedModel = AutoModelForCausalLM.from_config(
            llama_config(size, tokenizer), dtype=torch.bfloat16
        )
    settings = BackboneConfig(
        path="random", tuning="lora", lora=LoraSettings(rank=8, dropout=0.1), precision="bfloat16"
    )
    config = LlaraConfig(backbone=settings)
    recommender = build_recommender(RecommenderConfig(), num_items=catalog.num_items)
    encoder = PromptEncoder(tokenizer, catalog, config.prompt)
    model = prepare_backbone(backbone, settings)
    return Llara(model, encoder=encoder, catalog=catalog, recommender=recommender, config=config).to(best_device())


def _measured(size: Shape, workload: Workload, options: argparse.Namespace) -> dict[str, Any]:
    llara = build(size, workload)
    rows, batch_size = options.rows, options.batch_size
    throughput = {"train": training_speed(llara, workload, rows, batch_size=batch_size)}
    for scorer in _SCORERS:
        throughput[scorer] = scoring_speed(llara, workload, scorer, rows, batch_size=batch_size)
    histories, candidates = workload.test.histories(), workload.candidates.items.tolist()

    def generate(part: slice) -> None:
        generate_answers(llara, histories[part], candidates[part], batch_size=batch_size)

    def request(number: int, scorer: str) -> None:
        row = slice(number % len(histories), number % len(histories) + 1)
        if scorer == "generation":
            generate(row)
        else:
            score_candidates(llara, histories[row], candidates[row], scorer=scorer)  # type: ignore[arg-type]

    with llara.folded():
        seconds, done = timed(generate, rows, len(histories), batch_size=batch_size)
        throughput["generation"] = {"rows_per_second": (done.stop - done.start) / seconds}
        requests = {
            name: _latencies(partial(request, scorer=name), options.requests) for name in (*_SCORERS, "generation")
        }
    return {
        "parameters": sum(parameter.numel() for parameter in llara.model.parameters()),
        "throughput": throughput,
        "requests": requests,
        "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
    }


def _latencies(run: Callable[[int], None], count: int) -> dict[str, float]:
    """Milliseconds of single requests, one after another; the first three, which warm up, do not count."""
    for number in range(3):
        run(number)
    milliseconds = []
    for number in range(count):
        started = time.perf_counter()
        run(number)
        milliseconds.append(1e3 * (time.perf_counter() - started))
    return {"p50_ms": float(np.percentile(milliseconds, 50)), "p99_ms": float(np.percentile(milliseconds, 99))}


def as_markdown(report: dict[str, Any]) -> str:
    """One row per shape and stage."""
    versions = report["machine"]["versions"]
    peak = report["peak_flop_per_second"]
    lines = [
        f"{report['machine']['date']}, {report['device']}; torch {versions['torch']}, transformers "
        f"{versions['transformers']}. bfloat16, batches of {report['batch_size']}; fastest matrix product "
        f"{peak / 1e12:.1f} TFLOP/s.",
        "",
        "| shape | stage | rows/s | tokens/s | of the peak | against generation | request p50, ms | p99, ms |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for shape, found in report["shapes"].items():
        generation = found["throughput"]["generation"]["rows_per_second"]
        for stage, figures in found["throughput"].items():
            share = f"{figures['flops'] / peak:.0%}" if "flops" in figures else ""
            tokens = f"{figures['tokens_per_second']:,.0f}" if "tokens_per_second" in figures else ""
            ratio = "" if stage == "train" else f"{figures['rows_per_second'] / generation:.1f} x"
            request = found["requests"].get(stage)
            latency = f"{request['p50_ms']:.1f} | {request['p99_ms']:.1f}" if request else " | "
            lines.append(
                f"| {shape} | {stage} | {figures['rows_per_second']:.1f} | {tokens} | {share} | {ratio} | {latency} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
