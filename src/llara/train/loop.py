"""The training loop: explicit, resumable at any step, every random choice a function of (seed, step, row)."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from llara.data import Examples, IntArray, Sequences
from llara.errors import CheckpointError, ConfigError, DivergenceError
from llara.model import Llara, autocast
from llara.train.batches import BatchPlan
from llara.train.config import TrainConfig
from llara.train.curriculum import BoolArray, draw_hybrid, hybrid_probability
from llara.train.draws import Draws
from llara.train.memory import free_bytes, kept_bytes, rows_that_fit
from llara.train.optimizer import build_optimizer, learning_rate, set_learning_rate
from llara.train.ranks import Ranks
from llara.train.rows import TrainingPrior, TrainingRows, candidate_rows, window_rows
from llara.train.soft_targets import softened
from llara.train.stages import ALONE, StagePlace, TrainReport
from llara.train.state import (
    LAST,
    Counters,
    find_state,
    load_best,
    load_state,
    load_weights,
    read_counters,
    remove_outdated_best,
    save_best,
    save_state,
    trained_weights,
)
from llara.train.tracking import MetricsWriter, Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepRecord:
    """What one optimizer step did; `validation_hit_ratio` only where it was measured."""

    step: int
    total_steps: int
    loss: float
    learning_rate: float
    hybrid_planned: float
    hybrid_realized: float
    examples_per_second: float
    """Targets per second: one of each prompt with candidates, one for each item of a history alone."""
    seconds: float
    validation_hit_ratio: float | None = None

    def as_metrics(self) -> Record:
        """The record for metrics.jsonl."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in ("total_steps", "seconds") and value is not None
        }


class Trainer:
    """Tunes a `Llara` on examples, alone or with other processes that `accelerate launch` or `torchrun` started.

    Processes share out the rows of each step; losses and weights are those of one alone, but for dropout and rounding.

    Args:
        llara: The model; trained in place.
        examples: Training histories and targets; sequences where the objective reads histories alone.
        config: Length, objective, curriculum, optimizer.
        validate: Returns HR@1 on validation rows, in [0, 1].
        folder: Where metrics and checkpoints go; None keeps nothing on disk and cannot resume.
        on_step: Called after each optimizer step.
        fingerprint: Identifies settings and data; a checkpoint of another fingerprint is refused.
        enough: Told of each step; once it says True, training ends there as if that step had been the last one planned.
        prior: What recommenders that did not see the rows think of them; None: the model's own recommender, if the
            model has a prior at all.
        stage: Which of several stages this is; alone by default.

    Raises:
        ConfigError: If there is nothing to train on, the data is of the other kind than the objective's, or `config`
            has stages: each has a trainer of its own.
    """

    def __init__(
        self,
        llara: Llara,
        examples: Examples | Sequences,
        *,
        config: TrainConfig,
        validate: Callable[[Llara], float],
        folder: Path | None = None,
        on_step: Callable[[StepRecord], None] | None = None,
        fingerprint: str = "",
        enough: Callable[[StepRecord], bool] | None = None,
        prior: TrainingPrior | None = None,
        stage: StagePlace = ALONE,
    ) -> None:
        if config.stages:
            raise ConfigError("a Trainer trains one stage: give each of config.in_stages() a Trainer of its own.")
        self.accelerator = Accelerator()
        self.ranks = Ranks(self.accelerator)
        self.llara = llara.to(self.accelerator.device)
        self.config = config
        self.objective = config.objective.build()
        self.validate = validate
        self.folder = folder
        self.on_step = on_step
        self.fingerprint = fingerprint
        self.enough = enough
        self.stage = stage
        self.rows = self._build_rows(examples, prior)
        self.plan = BatchPlan(len(self.rows), config.batch_size, config.seed, self.rows.lengths)
        self.total_steps = max(1, round(config.epochs * self.plan.steps_per_epoch))
        self.validate_after = {
            round((place + 1) * self.total_steps / config.validations) for place in range(config.validations)
        }
        self._best_weights = trained_weights(llara)
        self.rows_at_once = config.micro_batch_size or 0

    def _build_rows(self, data: Examples | Sequences, prior: TrainingPrior | None) -> TrainingRows:
        """What the objective is trained on.

        Raises:
            ConfigError: If there is none, or the data is of the other kind.
        """
        config, asked = self.config, self.objective.prompts
        if isinstance(data, Sequences) != (asked == "histories"):
            wanted = "the training users' sequences" if asked == "histories" else "examples with a target each"
            raise ConfigError(f"objective '{config.objective.name}' is trained on {wanted}; give those.")
        if isinstance(data, Sequences):
            chosen = np.bincount(data.items, minlength=self.llara.encoder.num_items + 1)
            self.llara.sequence_head().know(torch.from_numpy(chosen > 0))
            return window_rows(self.llara, data, windows=config.windows, prior=prior, seed=config.seed)
        answers, heads = self.objective.needs_answers, self.objective.trains
        draws = Draws(data, self.llara.encoder, config.num_negatives, answers=answers, seed=config.seed)
        return candidate_rows(self.llara, draws, prior=prior if "listwise" in heads else None)

    def train(self, *, resume: bool = False) -> TrainReport:
        """Run to the end, from the start or from the last checkpoint.

        A stage that is followed by one with a checkpoint has ended: resuming it takes up its best weights alone.

        Raises:
            CheckpointError: If `resume` finds no checkpoint, or one of other settings or data.
            DivergenceError: If a loss, a gradient or a weight is not finite. Checkpoints stay as they were, and the
                model holds the best validated weights, or those that it began with.
        """
        if resume and self.folder is not None and self.stage.is_over(self.folder):
            return self._recalled()
        optimizer = build_optimizer(self.llara, self.config.optimizer)
        counters = self._restore(optimizer) if resume else Counters(fingerprint=self.fingerprint)
        # In evaluation mode: precision as launched, but no wrapper that sums gradients, which `Ranks` does.
        model = self.accelerator.prepare_model(self.llara, evaluation_mode=True)
        optimizer = self.accelerator.prepare(optimizer)
        self.ranks.take_weights(self.llara)
        main = self.accelerator.is_main_process
        self.rows_at_once = self.config.micro_batch_size or counters.rows_at_once or self.rows_that_fit()
        counters = replace(counters, rows_at_once=self.rows_at_once)
        writer = MetricsWriter(self.folder if main else None, start_step=self.stage.first_step + counters.step)
        started = time.perf_counter()
        ended = False
        try:
            while counters.step < self.total_steps and not ended and not self._out_of_patience(counters):
                record = self._step(model, optimizer, counters.step)
                ended = self._is_enough(record)
                counters, score = self._validated(counters, last=ended)
                record = replace(record, validation_hit_ratio=score)
                # Before the checkpoint: a run that dies between the two repeats steps instead of leaving a gap.
                writer.write(self.stage.record(record.as_metrics()))
                if score is not None and main:
                    self._save(optimizer, counters)
                if self.on_step is not None:
                    self.on_step(record)
        except DivergenceError:
            load_weights(self.llara, self._best_weights)
            raise
        finally:
            writer.close()
        return self._ended(counters, time.perf_counter() - started)

    def rows_that_fit(self) -> int:
        """Rows of a forward pass that memory allows now, by what the longest two keep; alike in all processes."""
        by_length = np.argsort(-self.rows.lengths(np.arange(len(self.rows)), 0), kind="stable")

        alone, both = self.kept_by(by_length[:1]), self.kept_by(by_length[:2])
        free = free_bytes(self.accelerator.device)
        row_bytes = both - alone if both > alone else alone  # what rows share is paid once
        found = rows_that_fit(row_bytes, free=free, batch_size=self.config.batch_size)
        chosen = int(self.ranks.main_says(found))
        logger.debug("%d rows at once: a row keeps %d bytes, %d are free", chosen, row_bytes, free)
        return chosen

    def kept_by(self, rows: IntArray) -> int:
        """Bytes that a forward pass of some rows, hybrid, keeps until its gradients are computed."""
        hybrid = np.ones(len(rows), dtype=np.bool_)
        with torch.random.fork_rng(devices=[]):
            return kept_bytes(lambda: self._losses(self.llara, rows, hybrid, 0).sum(), self.llara.parameters())

    @property
    def can_resume(self) -> bool:
        """Whether `folder` has a checkpoint of this stage; it may have been stopped before its first."""
        return self.folder is not None and self.stage.has_checkpoint(self.folder)

    def _ended(self, counters: Counters, seconds: float) -> TrainReport:
        """Leave the model with the best weights."""
        load_weights(self.llara, self._best_weights)
        self.llara.history_length = self.rows.history_length
        return TrainReport(
            steps=counters.step,
            best_step=counters.best_step,
            best_validation=counters.best_score,
            seconds=seconds,
            stopped_early=counters.step < self.total_steps,
            objective=self.config.objective.name,
        )

    def _recalled(self) -> TrainReport:
        """What the stage came to in an earlier attempt: it has ended, and its records are left as they are."""
        found, counters = self._found_counters()
        self._best_weights = load_best(found.parent, counters)
        return self._ended(counters, 0.0)

    def _is_enough(self, record: StepRecord) -> bool:
        return self.enough is not None and bool(self.ranks.main_says(self.enough(record)))

    def _out_of_patience(self, counters: Counters) -> bool:
        return 0 < self.config.patience <= counters.fails

    def _step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> StepRecord:
        """One optimizer step over `batch_size` examples."""
        started = time.perf_counter()
        self.llara.train()
        rate = learning_rate(step, total_steps=self.total_steps, config=self.config.optimizer)
        set_learning_rate(optimizer, rate)
        rows = self.plan.rows(step)
        targets = self.rows.targets(rows, step // self.plan.steps_per_epoch)
        probability, hybrid = self._hybrid_rows(rows, step)
        loss = self._accumulate(model, rows, hybrid, step, targets)
        norm = self.accelerator.clip_grad_norm_(
            list(self.llara.trainable().values()), self.config.optimizer.max_gradient_norm
        )
        for what, value in (("loss", loss), ("norm of the gradients", float(norm))):
            if not math.isfinite(value):
                raise self._diverged(f"the {what} is {value}", step)
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - started
        return StepRecord(
            step=step,
            total_steps=self.total_steps,
            loss=loss,
            learning_rate=rate,
            hybrid_planned=probability,
            hybrid_realized=float(hybrid.mean()),
            examples_per_second=targets / seconds,
            seconds=seconds,
        )

    def _hybrid_rows(self, rows: IntArray, step: int) -> tuple[float, BoolArray]:
        """The planned share of hybrid prompts, and which of the step's examples are hybrid, [B]."""
        curriculum = self.config.curriculum
        probability = hybrid_probability(
            step, total_steps=self.total_steps, steps_per_epoch=self.plan.steps_per_epoch, config=curriculum
        )
        per_batch = curriculum.kind == "released-code"
        return probability, draw_hybrid(rows, step, probability=probability, seed=self.config.seed, per_batch=per_batch)

    def _accumulate(self, model: torch.nn.Module, rows: IntArray, hybrid: BoolArray, step: int, targets: int) -> float:
        """Gradients of the mean loss over the step's targets, one micro-batch at a time; returns that loss.

        This process computes its share of the rows, which may be none; loss and gradients are those of all.
        """
        rank, world = self.ranks.rank, self.ranks.world
        mine = np.arange(rank, len(rows), world)
        micros = np.split(mine, range(self.rows_at_once, len(mine), self.rows_at_once))
        total = 0.0
        for number, places in enumerate(micros):
            if len(places) == 0:
                continue
            torch.manual_seed(_dropout_seed(self.config.seed, step, number * world + rank))
            loss = self._losses(model, rows[places], hybrid[places], step).sum() / targets
            self.accelerator.backward(loss)
            total += float(loss.detach())
        return self.ranks.sum_gradients(total, list(self.llara.trainable().values()))

    def _losses(self, model: torch.nn.Module, rows: IntArray, hybrid: BoolArray, step: int) -> torch.Tensor:
        """Loss of each target of a micro-batch, [B] or [M]."""
        made = self.rows.batch(rows, hybrid, epoch=step // self.plan.steps_per_epoch, step=step)
        device = self.accelerator.device
        batch = made.prompts.to(device)
        prior = made.prior.to(device) if made.prior is not None else None
        asked = {way: way in self.objective.trains for way in ("answer", "listwise", "sequence")}
        with autocast(self.llara):
            items = made.items.to(device) if made.items is not None else None
            output = model(batch, **asked, items=items, prior=prior)
        losses = self.objective.losses(output, batch, made.target_column.to(device))
        share = self.config.windows.soft_targets
        if share == 0 or self.objective.prompts != "histories":
            return losses
        return softened(losses, output, batch, recommender=self.llara.recommender, share=share)

    def _validated(self, counters: Counters, *, last: bool) -> tuple[Counters, float | None]:
        """The counters after a step, and the validation score where one is due: always after the last."""
        step = counters.step + 1
        if not last and step not in self.validate_after:
            return replace(counters, step=step), None
        self._refuse_broken_weights(counters.step)
        self.llara.eval()
        score = self.ranks.main_says(float(self.validate(self.llara)))
        if not score > counters.best_score:
            return replace(counters, step=step, fails=counters.fails + 1), score
        self._best_weights = trained_weights(self.llara)
        return replace(counters, step=step, best_step=step, best_score=score, fails=0), score

    def _refuse_broken_weights(self, step: int) -> None:
        """Weights are kept only after this: what the last step made of them, no loss has seen yet."""
        for name, weight in self.llara.trainable().items():
            if not torch.isfinite(weight).all():
                raise self._diverged(f"weight '{name}' holds NaN or infinity", step)

    def _diverged(self, what: str, step: int) -> DivergenceError:
        optimizer = self.config.optimizer
        lower = (
            f"Lower train.optimizer.learning_rate (now {optimizer.learning_rate}) or train.optimizer.max_gradient_norm "
            f"(now {optimizer.max_gradient_norm}), or set backbone.precision to float32"
        )
        if step == 0 and not what.startswith("weight"):
            lower = "No weight has changed yet: set backbone.precision to float32, or use another backbone"
        checkpoints = self.stage.checkpoints(self.folder) if self.folder is not None else None
        kept = f" The last checkpoint in {checkpoints} is untouched." if checkpoints and checkpoints.is_dir() else ""
        where = f"step {step + 1} of {self.total_steps}" + (f", {self.stage}" if self.stage.count > 1 else "")
        return DivergenceError(what, where=where, remedy=f"{lower}, and start anew.{kept}")

    def _save(self, optimizer: torch.optim.Optimizer, counters: Counters) -> None:
        if self.folder is None:
            return
        checkpoints = self.stage.checkpoints(self.folder)
        if counters.best_step == counters.step:
            save_best(checkpoints, self._best_weights, counters)
        save_state(checkpoints / LAST, self.llara, optimizer, counters)
        remove_outdated_best(checkpoints, counters)

    def _restore(self, optimizer: torch.optim.Optimizer) -> Counters:
        found, counters = self._found_counters()
        best_weights = load_best(found.parent, counters)
        load_state(found, self.llara, optimizer)
        self._best_weights = best_weights
        logger.info("resuming after step %d of %d", counters.step, self.total_steps)
        return counters

    def _found_counters(self) -> tuple[Path, Counters]:
        """The last checkpoint, and where it stands.

        Raises:
            CheckpointError: If there is none, or it is one of other settings or data.
        """
        found = find_state(self.stage.checkpoints(self.folder) / LAST) if self.folder is not None else None
        if found is None:
            raise CheckpointError(f"no checkpoint under {self.folder}; run without --resume to start anew.")
        counters = read_counters(found)
        if counters.fingerprint != self.fingerprint:
            raise CheckpointError(
                f"checkpoint {found} belongs to other settings or data than this run. "
                "Resume with the config it was started with, or start anew with --force."
            )
        return found, counters


def _dropout_seed(seed: int, step: int, part: int) -> int:
    """Dropout depends on where it happens, not on what happened before: nothing to save for a resume."""
    return int(np.random.SeedSequence([seed, step, part]).generate_state(1)[0])
