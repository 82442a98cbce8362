"""One stage of the speed benchmark in a process of its own; one JSON object on stdout.

python -m benchmarks.speed_stage FOLDER train --precision bfloat16 --shape 135m --rows 32
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.reference import BATCH_SIZE, PlainModel
from benchmarks.workload import SHAPES, Workload, open_llara, open_workload, prepare
from llara.data import sample_candidates
from llara.model import Llara, score_candidates
from llara.model.cost import BatchSize, ModelCost
from llara.model.kernels.products import linear_product
from llara.prompt import EncodedPrompt, PromptBatch, collate, collate_tree
from llara.train import StepRecord, TrainConfig, Trainer

_OURS = ("train", "answer", "listwise")
_THEIRS = ("reference-train", "reference-generate", "reference-each")
_GPU_PEAK_SHAPES = ((8192, 4096, 4096), (8192, 4096, 11008), (8192, 8192, 8192))
_PEAK_SHAPES = ((2048, 768, 768), (2048, 768, 2048), (2048, 2048, 768), (2048, 2048, 2048), (4096, 4096, 4096))


def main() -> None:
    """Run the stage named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("stage", choices=("prepare", "peak", *_OURS, *_THEIRS))
    parser.add_argument("--shape", choices=list(SHAPES), default="135m")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--rows", type=int, default=96)
    options = parser.parse_args()
    if options.stage == "prepare":
        prepare(options.folder)
        report: dict[str, float] = {}
    elif options.stage == "peak":
        report = {"flops": matrix_peak(options.precision)}
    else:
        report = _run(options)
    print(json.dumps(report))


def matrix_peak(precision: str, device: str = "cpu") -> float:
    """Fastest matrix product of a few shapes, in floating-point operations per second."""
    best = 0.0
    for rows, inner, columns in _PEAK_SHAPES if device == "cpu" else _GPU_PEAK_SHAPES:
        left, right = (
            torch.randn(size, inner, device=device).to(getattr(torch, precision)) for size in (rows, columns)
        )
        for _ in range(10):
            for product in (torch.nn.functional.linear, linear_product):
                finish(device)
                started = time.perf_counter()
                product(left, right)
                finish(device)
                best = max(best, 2 * rows * inner * columns / (time.perf_counter() - started))
    return best


def finish(device: str) -> None:
    """Wait until the device has done what it was asked for."""
    if device != "cpu":
        torch.cuda.synchronize()


def _run(options: argparse.Namespace) -> dict[str, float]:
    workload = open_workload(options.folder)
    is_ours = options.stage in _OURS
    llara = open_llara(options.folder, options.shape, workload, precision=options.precision if is_ours else "float32")
    if options.stage == "train":
        return training_speed(llara, workload, options.rows)
    if is_ours:
        return scoring_speed(llara, workload, options.stage, options.rows)
    model = PlainModel(str(options.folder / options.shape), llara, precision=options.precision)
    llara.model = torch.nn.Identity()  # type: ignore[assignment]  # frees our weights; the rest encodes prompts
    if options.stage == "reference-train":
        return _train_plainly(model, llara, workload, options.rows)
    return _evaluate_plainly(model, llara, workload, options.stage, options.rows)


def training_speed(llara: Llara, workload: Workload, rows: int, *, batch_size: int = BATCH_SIZE) -> dict[str, float]:
    """The real loop; its first two steps make room and are not counted."""
    steps = -(-rows // batch_size) + 2
    examples = workload.train
    config = TrainConfig(
        epochs=steps * batch_size / len(examples), batch_size=batch_size, micro_batch_size=batch_size, validations=1
    )
    moments: list[float] = []

    def on_step(_: StepRecord) -> None:
        finish(llara.device.type)
        moments.append(time.perf_counter())

    trainer = Trainer(llara, examples, config=config, validate=lambda _: 0.0, on_step=on_step)
    size = BatchSize(0, 0, 0, 0)
    for step in range(2, steps):
        size += BatchSize.of(_training_batch(llara, trainer, step), answer=True, listwise=False)
    trainer.train()
    seconds = moments[-1] - moments[1]
    counted = len(moments[2:]) * batch_size
    return {
        "rows_per_second": counted / seconds,
        "tokens_per_second": size.tokens / seconds,
        "flops": ModelCost.of(llara).training(size) / seconds,
    }


def _training_batch(llara: Llara, trainer: Trainer, step: int) -> PromptBatch:
    """The batch of a step, which the loop makes again."""
    rows = trainer.plan.rows(step)
    made = trainer.rows.batch(
        rows, np.ones(len(rows), dtype=bool), epoch=step // trainer.plan.steps_per_epoch, step=step
    )
    return made.prompts


def scoring_speed(
    llara: Llara, workload: Workload, scorer: str, rows: int, *, batch_size: int = BATCH_SIZE
) -> dict[str, float]:
    """`score_candidates` on test rows with folded adapters, after a batch that is not counted."""
    histories = workload.test.histories()
    candidates = workload.candidates.items.tolist()

    def run(part: slice) -> None:
        score_candidates(llara, histories[part], candidates[part], scorer=scorer, batch_size=batch_size)  # type: ignore[arg-type]

    with llara.folded():
        seconds, done = timed(run, rows, len(histories), batch_size=batch_size)
    size = BatchSize(0, 0, 0, 0)
    for history, items in zip(histories[done], candidates[done], strict=True):
        prompt = llara.encode_prompt(history, items)
        batch = _scoring_batch(llara, prompt, scorer)
        size += BatchSize.of(batch, answer=scorer == "answer", listwise=scorer == "listwise")
    cost = replace(ModelCost.of(llara), adapter=0)  # folded
    return {
        "rows_per_second": (done.stop - done.start) / seconds,
        "tokens_per_second": size.tokens / seconds,
        "flops": cost.forward(size) / seconds,
    }


def _scoring_batch(llara: Llara, prompt: EncodedPrompt, scorer: str) -> PromptBatch:
    if scorer == "listwise":
        return collate([prompt], hybrid=[True], filler=llara.encoder.filler)
    answers = [[llara.encoder.answer_tokens(item) for item in prompt.candidate_items]]
    return collate_tree([prompt], answers, hybrid=[True], filler=llara.encoder.filler)


def timed(
    run: Callable[[slice], None], rows: int, available: int, *, batch_size: int = BATCH_SIZE
) -> tuple[float, slice]:
    """Seconds for some rows, after a batch that is not counted."""
    done = slice(batch_size, min(available, batch_size + rows))
    run(slice(0, batch_size))
    started = time.perf_counter()
    run(done)
    return time.perf_counter() - started, done


def _train_plainly(model: PlainModel, llara: Llara, workload: Workload, rows: int) -> dict[str, float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model.model.train()
    started = time.perf_counter()
    steps = -(-rows // BATCH_SIZE) + 2
    for step in range(steps):
        if step == 2:
            started = time.perf_counter()
        chosen = np.random.default_rng(step).integers(0, len(workload.train), BATCH_SIZE)
        examples = workload.train.select(chosen)
        candidates = sample_candidates(
            examples, num_items=llara.catalog.num_items, num_negatives=19, seed=step, draw=0, row_numbers=chosen
        )
        pairs = zip(examples.histories(), candidates.items.tolist(), strict=True)
        prompts = [llara.encode_prompt(history, items) for history, items in pairs]
        model.loss(prompts, [llara.encoder.answer_tokens(int(target)) for target in examples.target]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    return {"rows_per_second": (steps - 2) * BATCH_SIZE / (time.perf_counter() - started)}


def _evaluate_plainly(model: PlainModel, llara: Llara, workload: Workload, stage: str, rows: int) -> dict[str, float]:
    model.model.eval()
    pairs = zip(workload.test.histories(), workload.candidates.items.tolist(), strict=True)
    prompts = [llara.encode_prompt(history, items) for history, items in pairs]

    def generate(part: slice) -> None:
        for start in range(part.start, part.stop, BATCH_SIZE):
            model.generate(prompts[start : min(part.stop, start + BATCH_SIZE)])

    def score_each(part: slice) -> None:
        for prompt in prompts[part]:
            model.score_each(prompt, [llara.encoder.answer_tokens(item) for item in prompt.candidate_items])

    if stage == "reference-each":
        score_each(slice(0, 1))
        started = time.perf_counter()
        score_each(slice(1, 1 + rows))
        return {"rows_per_second": rows / (time.perf_counter() - started)}
    seconds, done = timed(generate, rows, len(prompts))
    return {"rows_per_second": (done.stop - done.start) / seconds}


if __name__ == "__main__":
    main()
