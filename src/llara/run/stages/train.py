"""Training on the interactions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from llara.data import Examples, Sequences
from llara.evaluate import LlaraScorer, calibrated_hit_ratio, judge
from llara.model import Llara, ScorerName
from llara.model.weighing import leave_prior_out
from llara.recommender import FoldRecommenders
from llara.run.choices import validating_scorer, ways_with_prior
from llara.run.events import Advance, Listener, Notice, stage
from llara.run.folder import fingerprint
from llara.run.material import Material
from llara.run.stages.memory import peak_bytes
from llara.run.stages.probing import Repeats, expect
from llara.run.stages.scoring import expect_scoring, num_rankings
from llara.run.stages.stage import Place, Probed, StagePlan
from llara.train import StagePlace, StepRecord, TrainConfig, Trainer, TrainReport

_PROBE_STEPS = 16


@dataclass(frozen=True)
class TrainStage:
    """Tunes the model on the training rows, in place; it ends with the weights of its best validation.

    Leaves `metrics.jsonl`, `tensorboard/` and `checkpoints/`. Resumes after the last validation, step by step as an
    uninterrupted run.

    Attributes:
        material: Settings and data.
        llara: Where several stages follow one another, with the best weights of the one before.
        folds: What recommenders think of rows that they were not fitted on, if that is asked.
        number: Which of `train.stages` this is, from 0.
        first_step: Steps that the stages before it took.
    """

    material: Material
    llara: Llara
    folds: FoldRecommenders | None
    number: int = 0
    first_step: int = 0
    needed: bool = True

    @property
    def config(self) -> TrainConfig:
        """The settings of this stage."""
        return self.material.config.train.in_stages()[self.number]

    @property
    def place(self) -> StagePlace:
        """Which of how many stages."""
        return StagePlace(self.number + 1, len(self.material.config.train.in_stages()), self.first_step)

    @property
    def name(self) -> str:
        """As in the manifest; with the objective where there are several stages."""
        return f"training {self._which}".strip()

    @property
    def _which(self) -> str:
        """As in "stage 1 of 2: sequence"; empty where there is one."""
        return f"{self.place}: {self.config.objective.name}" if self.place.count > 1 else ""

    def run(self, place: Place) -> TrainReport:
        """What training did."""
        self._prepare()
        trainer = Trainer(
            self.llara,
            self._rows(),
            config=self.config,
            validate=self._validate,
            folder=place.folder,
            fingerprint=fingerprint(self.material.config, self.material.dataset),
            prior=self.folds,
            stage=self.place,
        )
        label = f"training {'hybrid' if self.llara.uses_behavior else 'text-only'} LLaRA"
        label += f", {self._which}" if self._which else ""
        with _step_events(place.listener, label, trainer.total_steps) as (on_step, advance):
            trainer.on_step = on_step
            report = trainer.train(resume=place.resume and trainer.can_resume)
            step, total = report.best_step, trainer.total_steps
            advance.outcome = f"best validation HR@1 {report.best_validation:.4f} after step {step} of {total}"
        return report

    def _prepare(self) -> None:
        """Without folds, the heads are trained by themselves."""
        if self.material.config.prior_folds == 0:
            leave_prior_out(self.llara)

    def _rows(self) -> Examples | Sequences:
        """What the objective learns from: rows with a target each, or whole sequences."""
        split = self.material.split
        return split.train_sequences if self.config.objective.prompts == "histories" else split.train

    @property
    def _scorer(self) -> ScorerName:
        return validating_scorer(self.material.config, self.config)

    def _validate(self, llara: Llara) -> float:
        """HR@1 on the validation rows, calibrated as after training."""
        validation, batch_size = self.material.validation, self.material.config.evaluate.batch_size
        scorer = self._scorer
        if scorer in ways_with_prior(self.material.config):
            return calibrated_hit_ratio(llara, validation, batch_size=batch_size, way=scorer)
        judged = judge(LlaraScorer(llara, scorer, batch_size=batch_size), validation)
        return judged.result.hr(1)

    def probe(self, seconds: float) -> Probed[None]:
        """Some steps, one of them of the longest histories; where those take long, parts of one. Then a validation."""
        self._prepare()
        config, train = self.config, self._rows()
        lengths = train.lengths if isinstance(train, Sequences) else train.history_length
        by_length = np.argsort(-lengths, kind="stable")
        memory: dict[int, int] = {}

        def once(rows: int) -> float:
            spread = by_length[((np.arange(rows) + 0.5) * len(by_length) / rows).astype(int)]
            found = self._probe_steps(train.select(spread), Repeats(most=1, uncounted=0, seconds=0.0), batch_size=rows)
            memory[rows] = peak_bytes()
            return found.mean()

        def steady(left: float) -> tuple[float, float]:
            longest = train.select(by_length[: config.batch_size])
            self._probe_steps(longest, Repeats(most=1, uncounted=0, seconds=0.0))
            found = self._probe_steps(train, Repeats(most=_PROBE_STEPS, uncounted=2, seconds=left))
            return found.mean(), found.spread()

        batch_size = min(config.batch_size, len(train))
        step = expect(once, full=batch_size, seconds=0.7 * seconds, steady=steady)
        validation = expect_scoring(
            self.material, self.llara, self.material.validation, self._scorer, seconds=0.3 * seconds
        )
        total, count = self._total_steps(), config.validations
        plan = StagePlan(
            self.name,
            f"{total} steps of {config.batch_size} rows, {count} validations",
            total * step.seconds + count * validation.seconds,
            uncertainty=max(step.uncertainty, validation.uncertainty),
            more_bytes=_more_bytes(memory, min(self.rows_at_once, batch_size), reached=step.size),
            row_seconds=validation.seconds / num_rankings(self.material.validation),
            scorer=self._scorer,
        )
        return Probed(None, plan)

    @cached_property
    def rows_at_once(self) -> int:
        """Rows of a forward pass: as set, or as many as there is memory for."""
        if self.config.micro_batch_size is not None:
            return self.config.micro_batch_size
        return Trainer(self.llara, self._rows(), config=self.config, validate=lambda _: 0.0).rows_that_fit()

    def _total_steps(self) -> int:
        config, rows = self.config, self._rows()
        count = config.windows.count(rows) if isinstance(rows, Sequences) else len(rows)
        return max(1, round(config.epochs * -(-count // config.batch_size)))

    def _probe_steps(self, rows: Examples | Sequences, repeats: Repeats, *, batch_size: int | None = None) -> Repeats:
        """Steps on some rows until there are enough of them."""
        config = self.config
        size = batch_size or config.batch_size
        config = replace(
            config, validations=1, batch_size=size, micro_batch_size=min(size, self.rows_at_once), epochs=1e6
        )

        def enough(record: StepRecord) -> bool:
            return repeats.add(record.seconds)

        Trainer(self.llara, rows, config=config, validate=lambda _: 0.0, enough=enough).train()
        return repeats


def _more_bytes(memory: dict[int, int], micro: int, *, reached: int) -> int:
    """Memory of a micro-batch beyond what a probe of fewer rows has taken, if it grows as it did."""
    sizes = sorted(memory)
    if reached >= micro or len(sizes) < 2:
        return 0
    before, last = sizes[-2:]
    return max(0, memory[last] - memory[before]) * (micro - last) // (last - before)


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
