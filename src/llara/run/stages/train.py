"""Training on the interactions."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from llara.data import Examples
from llara.evaluate import LlaraScorer, calibrated_hit_ratio, judge
from llara.model import Llara
from llara.recommender import FoldRecommenders
from llara.run.choices import uses_prior
from llara.run.events import Advance, Listener, Notice, stage
from llara.run.folder import fingerprint
from llara.run.material import Material
from llara.run.stages.probing import per_step
from llara.run.stages.scoring import seconds_to_score
from llara.run.stages.stage import Place, Probed, StagePlan
from llara.train import StepRecord, Trainer, TrainReport, has_checkpoint

_PROBE_STEPS = 16


@dataclass(frozen=True)
class TrainStage:
    """Tunes the model on the training rows, in place; it ends with the weights of its best validation.

    Leaves `metrics.jsonl`, `tensorboard/` and `checkpoints/`. Resumes after the last validation, step by step as an
    uninterrupted run.
    """

    material: Material
    llara: Llara
    folds: FoldRecommenders | None
    name: str = "training"
    needed: bool = True

    def run(self, place: Place) -> TrainReport:
        """What training did."""
        trainer = Trainer(
            self.llara,
            self.material.split.train,
            config=self.material.config.train,
            validate=self._validate,
            folder=place.folder,
            fingerprint=fingerprint(self.material.config, self.material.dataset),
            prior=self.folds.log_probs if self.folds is not None else None,
        )
        label = f"training {'hybrid' if self.llara.uses_behavior else 'text-only'} LLaRA"
        with _step_events(place.listener, label, trainer.total_steps) as (on_step, advance):
            trainer.on_step = on_step
            report = trainer.train(resume=place.resume and has_checkpoint(place.folder))
            step, total = report.best_step, trainer.total_steps
            advance.outcome = f"best validation HR@1 {report.best_validation:.4f} after step {step} of {total}"
        return report

    def _validate(self, llara: Llara) -> float:
        """HR@1 on the validation rows, calibrated as after training."""
        validation, batch_size = self.material.validation, self.material.config.evaluate.batch_size
        scorer = llara.default_scorer
        if scorer == "listwise" and uses_prior(self.material.config):
            return calibrated_hit_ratio(llara, validation, batch_size=batch_size)
        judged = judge(LlaraScorer(llara, scorer, batch_size=batch_size), validation)
        return judged.result.hr(1)

    def probe(self, seconds: float) -> Probed[None]:
        """Some steps, one of them of the longest histories; then a validation."""
        train, config = self.material.split.train, self.material.config
        longest = np.argsort(-train.history_length, kind="stable")[: config.train.batch_size]
        self._probe_steps(train.select(longest), steps=1)
        step, total = self._probe_steps(train, steps=_PROBE_STEPS)
        validation = seconds_to_score(self.material, self.llara, self.material.validation, self.llara.default_scorer)
        count = config.train.validations
        amount = f"{total} steps of {config.train.batch_size} rows, {count} validations"
        return Probed(None, StagePlan(self.name, amount, total * step + count * validation))

    def _probe_steps(self, rows: Examples, *, steps: int) -> tuple[float, int]:
        """Seconds per step, and the number of steps that the run would make on these rows."""
        moments: list[float] = []

        def enough(_: StepRecord) -> bool:
            moments.append(time.perf_counter())
            return len(moments) >= steps

        config = replace(self.material.config.train, validations=1)
        trainer = Trainer(self.llara, rows, config=config, validate=lambda _: 0.0, enough=enough)
        trainer.train()
        return per_step(moments), trainer.total_steps


@contextmanager
def _step_events(listener: Listener, label: str, total: int) -> Iterator[tuple[Callable[[StepRecord], None], Advance]]:
    """Each step moves the bar; each validation is a line of its own."""
    with stage(listener, label, total) as advance:
        done = 0
        best = ""

        def on_step(record: StepRecord) -> None:
            nonlocal done, best
            loss = f"loss {record.loss:.3f} p(hybrid) {record.hybrid_planned:.2f}"
            if record.validation_hit_ratio is not None:
                best = f" validation HR@1 {record.validation_hit_ratio:.4f}"
                listener(Notice(f"{label}: step {record.step + 1} of {total}, {loss}{best}"))
            advance(record.step + 1 - done, f"{loss} {record.examples_per_second:.0f} ex/s{best}")
            done = record.step + 1

        yield on_step, advance
