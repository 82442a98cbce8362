"""Results on real data from finished runs, as the mean of their seeds, kept as JSON for the README and docs/results.md.

    python -m benchmarks.real_results movielens-100k runs/ml-0 runs/ml-1 runs/ml-2
    python -m benchmarks.real_results movielens-100k runs/ml-text-0 runs/ml-text-1 --only text-only
    python -m benchmarks.real_results movielens-100k-smollm2-paper runs/ml --evaluation evaluations/last-rows
    make docs

Each run folder holds `evaluation.json` (and `generation.json`, where free generation covered fewer draws). Runs of
several seeds are averaged row by row, each against its own recommender; intervals and tests resample the users. Models
that the runs do not have keep what the JSON says about them. `--evaluation` takes the numbers from what
`llara evaluate` wrote about each run on other rows.
"""

import argparse
import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.comparisons import bounds, mean_hits, pairs_of, slices_of, tested
from llara.errors import DataError
from llara.evaluate import EvaluationReport, ModelResult
from llara.evaluate.statistics import bootstrap_interval

RESULTS = Path(__file__).with_name("real_results.json")
_PLAIN = "sasrec"
"""What every model is compared with besides the run's own recommender, where that is another."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the results of some runs into the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_set", help="key in the JSON, such as movielens-100k")
    parser.add_argument("runs", nargs="+", type=Path, help="finished runs that differ in their seed only")
    parser.add_argument("--evaluation", nargs="+", type=Path, help="what llara evaluate wrote, for each run")
    parser.add_argument("--only", default="", help="keep models alone whose names begin so")
    parser.add_argument("--name", help="call the one model that --only keeps so")
    parser.add_argument("--made", default=time.strftime("%Y-%m-%d"), help="when and on which commit; else today")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    known = json.loads(options.output.read_text(encoding="utf-8")) if options.output.is_file() else {}
    entry = known.get(options.data_set, {"models": {}})
    known[options.data_set] = updated(
        entry,
        options.runs,
        made=options.made,
        only=options.only,
        name=options.name,
        evaluations=options.evaluation or options.runs,
    )
    options.output.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def updated(
    entry: dict[str, Any],
    runs: Sequence[Path],
    *,
    made: str,
    only: str = "",
    name: str | None = None,
    evaluations: Sequence[Path] | None = None,
) -> dict[str, Any]:
    """What the JSON says about a data set, with the models of these runs whose names begin with `only`.

    Args:
        entry: What it says now.
        runs: Finished runs that differ in their seed only.
        made: When and on which commit.
        only: Beginning of the names that are kept.
        name: What to call the one model that is kept; None: as the run does.
        evaluations: Folder with the evaluation of each run; None: the runs themselves.

    Raises:
        DataError: If the runs have other models or other rows than one another, or not one model has the new name.
    """
    judged = runs if evaluations is None else evaluations
    if len(judged) != len(runs):
        raise DataError(f"expected an evaluation for each of {len(runs)} runs, found {len(judged)}.")
    reports = [EvaluationReport.load(folder / "evaluation.json") for folder in judged]
    seeds = [seed_of(run) for run in runs]
    models, compared = averaged(reports, seeds=seeds), comparisons(reports)
    written = [path / "generation.json" for path in judged if (path / "generation.json").is_file()]
    if len(written) == len(judged):
        of_fewer_draws = [EvaluationReport.load(path) for path in written]
        models.update(averaged(of_fewer_draws, seeds=seeds))
        compared["pairs"] += comparisons(of_fewer_draws)["pairs"]
    manifests = [json.loads((run / "manifest.json").read_text(encoding="utf-8")) for run in runs]
    models = {_model_alone(known, models): {"made": made, **model} for known, model in models.items()}
    models = {known: model for known, model in models.items() if known.startswith(only)}
    if name is not None:
        if len(models) != 1:
            raise DataError(f"expected one model to call '{name}', found {', '.join(models) or 'none'}. Change --only.")
        models = dict(zip([name], models.values(), strict=True))
    if only:  # what else the JSON says is of other runs
        return {**entry, "models": {**entry["models"], **models}}
    facts = {
        "name": manifests[0]["data"]["name"],
        "users": reports[0].results[0].num_users,
        "num_candidates": reports[0].num_candidates,
        "minutes": [round(sum(manifest["seconds"].values()) / 60, 1) for manifest in manifests],
    }
    return {**entry, **facts, **compared, "models": {**entry["models"], **models}}


def comparisons(reports: Sequence[EvaluationReport]) -> dict[str, Any]:
    """Paired tests and slices of what the reports have in common, by the models' names without those of runs."""
    found, users = mean_hits(reports), reports[0].results[0].users
    hits = {_model_alone(name, found): of_model for name, of_model in found.items()}
    return {"pairs": pairs_of(hits, users), "slices": slices_of(hits, users, dict(reports[0].sliced_by))}


def _model_alone(name: str, models: Collection[str]) -> str:
    """Without the name of the run, which `llara evaluate --against` adds, where no other model is called so."""
    model = name.rpartition(", ")[0]
    return model if model and model not in models else name


def seed_of(run: Path) -> int:
    """The run's seed, as its settings say."""
    return int(yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["seed"])


def averaged(reports: Sequence[EvaluationReport], *, seeds: Sequence[int]) -> dict[str, Any]:
    """The mean of each model over reports of the same rows, by the model's name.

    Raises:
        DataError: If models or rows differ.
    """
    first = reports[0]
    names = [result.name for result in first.results]
    for report in reports[1:]:
        if [result.name for result in report.results] != names or report.rows != first.rows:
            raise DataError(f"expected runs with the same models on {first.rows} rows; their reports differ.")
    return {name: _mean([report.result(name) for report in reports], reports, seeds) for name in names}


def _mean(results: Sequence[ModelResult], reports: Sequence[EvaluationReport], seeds: Sequence[int]) -> dict[str, Any]:
    users = results[0].users
    hits = np.mean([result.row_hits() for result in results], axis=0)  # [rows]
    entry: dict[str, Any] = {
        "seeds": list(seeds),
        "draws": results[0].draws,
        "hits": [result.hits for result in results],
        "total": results[0].total,
        "hr@1": float(hits.mean()),
        "interval": bounds(bootstrap_interval(hits, users=users)),
        "hr@5": _mean_of([result.hr(5) for result in results]),
        "ndcg@10": _mean_of([result.ndcg(10) for result in results]),
        "mrr": _mean_of([result.mrr for result in results]),
        "valid_ratio": None if results[0].valid_ratio is None else _mean_of([r.valid_ratio or 0.0 for r in results]),
        "seconds": _mean_of([result.seconds for result in results]),
    }
    baseline, known = reports[0].baseline, mean_hits(reports)
    is_compared = baseline is not None and baseline != results[0].name
    entry["versus"] = {"baseline": baseline, **tested(hits, known[str(baseline)], users)} if is_compared else None
    if baseline != _PLAIN and _PLAIN in known and results[0].name != _PLAIN:
        entry["versus_sasrec"] = {"baseline": _PLAIN, **tested(hits, known[_PLAIN], users)}
    return entry


def _mean_of(values: Sequence[float]) -> float | None:
    mean = float(np.mean(values))
    return None if np.isnan(mean) else mean


if __name__ == "__main__":
    main()
