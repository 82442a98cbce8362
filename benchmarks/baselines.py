"""Further conventional models and fusions with SASRec, ranked on the very candidates of an evaluation.

    llara evaluate runs/movielens-smollm2 --rows dense --draws 10 --scorer sequence --output evaluations/movielens
    python -m benchmarks.baselines movielens-100k-smollm2 runs/movielens-smollm2 evaluations/movielens
    make docs

The run's recommender is a fusion with sasrec, text-sasrec and text among its members. Everything is fitted on the run's
training users and chosen on its validation rows; the rows go into benchmarks/real_results.json beside those of the run,
tested against its fusion, paired over users. The language model alone is weighed against SASRec alone as calibration
weighs it against the fusion.
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from scipy.special import log_softmax

from benchmarks.real_results import RESULTS, averaged, seed_of
from llara.data import IntArray
from llara.evaluate import EvaluationReport, LlaraScorer, ModelResult, compare_results, judge
from llara.evaluate.calibration import fit_prior_weights
from llara.evaluate.judging import score_draws
from llara.evaluate.metrics import FloatArray, hit_ratio, target_ranks
from llara.model import Llara, ScorerName
from llara.recommender import (
    Ease,
    EaseConfig,
    Fusion,
    Progress,
    Recommender,
    RecommenderScorer,
    Scorer,
    fit_recommender,
    load_recommender,
)
from llara.run.choices import HEADS, trained_scorer, uses_behavior
from llara.run.config import load_config
from llara.run.material import Material, read_material
from llara.run.stages.recommender import build_untrained

_L2 = (30.0, 100.0, 300.0, 1000.0, 3000.0)
_DECAY = (1.0, 0.9)


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge them, and put the results into the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", help="key in the JSON, such as movielens-smollm2")
    parser.add_argument("run", type=Path, help="a finished run of SmolLM2 with the sequence objective")
    parser.add_argument("evaluation", type=Path, help="what llara evaluate wrote about it, or the run itself")
    parser.add_argument("--made", default=time.strftime("%Y-%m-%d"), help="when and on which commit; else today")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    first = EvaluationReport.load(options.evaluation / "evaluation.json")
    material = read_material(load_config(options.run / "config.yaml", [f"data.candidates.draws={first.draws}"]))
    report = judged_beside(first, others(options.run, material), material)
    known = json.loads(options.output.read_text(encoding="utf-8"))
    entry = known[options.data_set]
    judged = {result.name for result in first.results}
    models = averaged([report], seeds=[seed_of(options.run)])
    new = {name: {"made": options.made, **model} for name, model in models.items() if name not in judged}
    known[options.data_set] = {**entry, "models": {**entry["models"], **new}}
    options.output.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def judged_beside(report: EvaluationReport, scorers: Iterator[Scorer], material: Material) -> EvaluationReport:
    """The run's report with further models on the same candidates."""
    results: list[ModelResult] = [*report.results]
    for scorer in scorers:
        results.append(judge(scorer, material.test).result)
        print(f"{scorer.name}: HR@1 {results[-1].hr(1):.4f}", flush=True)
    return compare_results(results, baseline=report.baseline, sliced_by=report.sliced_by)


def others(run: Path, material: Material) -> Iterator[Scorer]:
    """EASE; SASRec over texts alone; SASRec with each of EASE, counts and texts; the language model with SASRec.

    Of a run that learned answers, the language model with SASRec alone.
    """
    fusion = load_recommender(run / "recommender")
    assert isinstance(fusion, Fusion)
    members = {part.name: part for part in fusion.parts}
    way = trained_scorer(material.config)
    if way == "sequence":
        yield from conventional(fusion, members, material)
    if uses_behavior(material.config):
        yield with_sasrec(run, material, members["sasrec"], way)


def conventional(fusion: Fusion, members: dict[str, Recommender], material: Material) -> Iterator[Scorer]:
    """What has no language model; EASE is the fusion's own where it is a member, which has been judged already."""
    ease = members.get("ease") or best_ease(material)
    if "ease" not in members:
        yield RecommenderScorer(ease)
    texts_alone = fitted_on_texts_alone(material)
    yield RecommenderScorer(texts_alone, name="text-sasrec without ids")
    for other in (ease, members["counts"], members["text"], texts_alone):
        pair = Fusion([members["sasrec"], other], by_frequency=fusion.by_frequency)
        pair.count(material.split.train_sequences)
        pair.weigh(material.stopping_rows(), seed=0)
        name = "text-sasrec without ids" if other is texts_alone else other.name
        yield RecommenderScorer(pair.eval(), name=f"sasrec + {name}")


def best_ease(material: Material) -> Ease:
    """EASE with the penalty and the decay that rank the validation rows best."""
    found: list[tuple[float, Ease]] = []
    for l2 in _L2:
        ease = Ease(material.dataset.catalog.num_items, EaseConfig(l2=l2))
        ease.count(material.split.train_sequences)
        for decay in _DECAY:
            ease.config = replace(ease.config, decay=decay)
            scores = score_draws(RecommenderScorer(ease), material.validation)
            columns = material.validation.target_columns
            ratio = hit_ratio(target_ranks(scores.reshape(-1, scores.shape[2]), columns.ravel()), 1)
            found.append((ratio, copy.deepcopy(ease)))
            print(f"ease with l2 {l2:g}, decay {decay}: validation HR@1 {ratio:.4f}", flush=True)
    return max(found, key=lambda pair: pair[0])[1]


def fitted_on_texts_alone(material: Material) -> Recommender:
    """SASRec whose item vectors are made of the texts alone."""
    settings = material.config.recommender
    alone = replace(settings, name="text-sasrec", text=replace(settings.text, ids=False))
    recommender = build_untrained(replace(material, config=replace(material.config, recommender=alone)))
    fit_recommender(
        recommender, material.split.train_sequences, validation=material.stopping_rows(), config=settings.fit
    )
    return recommender


class Weighed:
    """The language model's scores and a recommender's, with weights that suit the validation rows best."""

    def __init__(self, llara: Llara, recommender: Recommender, material: Material, way: ScorerName) -> None:
        self.head = LlaraScorer(llara, way, batch_size=material.config.evaluate.batch_size)
        self.recommender = RecommenderScorer(recommender)
        self.name = f"hybrid LLaRA ({way}) + {recommender.name}"
        task = material.validation
        head, prior = (score_draws(scorer, task).reshape(-1, task.candidate_items.shape[2]) for scorer in self._both())
        prior = log_softmax(prior, axis=1)
        self.weights = fit_prior_weights(head, prior, task.target_columns.ravel(), learned=0.5)

    def _both(self) -> tuple[Scorer, Scorer]:
        return self.head, self.recommender

    def score(self, history: IntArray, candidates: IntArray, *, on_progress: Progress | None = None) -> FloatArray:
        """See `Scorer`."""
        head, prior = (scorer.score(history, candidates) for scorer in self._both())
        if on_progress is not None:
            on_progress(len(history))
        total: FloatArray = self.weights.head * head + self.weights.prior * log_softmax(prior, axis=1)
        return total


def with_sasrec(run: Path, material: Material, sasrec: Recommender, way: ScorerName) -> Weighed:
    """The run's model without its fusion in the score, beside SASRec."""
    llara = Llara.from_pretrained(run)
    if way in HEADS:
        with torch.no_grad():
            llara.prior_weight_of(way).zero_()
    return Weighed(llara, sasrec, material, way)


if __name__ == "__main__":
    main()
