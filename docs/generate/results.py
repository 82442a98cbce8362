"""Tables of results on real data, from `benchmarks/real_results.json`."""

from collections.abc import Sequence
from typing import Any

from docs.generate.comparisons import compared
from docs.generate.marks import table

_SIGNS = {"better": "▲ better", "worse": "▼ worse", "tie": "= tie"}
_README_ROWS = {
    "popularity": "popularity",
    "sasrec": "SASRec alone",
    "hybrid LLaRA (free generation)": "hybrid LLaRA, the paper's way: it writes the title",
    "hybrid LLaRA (answer)": "hybrid LLaRA, the paper's answer: exact likelihood of each title",
    "text-only LLaRA (listwise)": "text-only LLaRA, listwise head",
    "hybrid LLaRA (listwise)": "hybrid LLaRA, listwise head, recommender as prior",
}
"""Models of the README's table, in its order, by their name in the JSON."""

_ANSWER_ROWS = {
    "hybrid LLaRA (free generation)": "hybrid LLaRA (SmolLM2), recommenders' order: it writes the title",
    "hybrid LLaRA (answer)": "the same model: exact likelihood of each title",
    "hybrid LLaRA (sequence without fusion)": "hybrid LLaRA (SmolLM2), sequence head, by itself",
    "hybrid LLaRA (sequence)": "hybrid LLaRA (SmolLM2), sequence head, added to the recommenders",
}
"""What follows there, of runs with a pretrained model on the same rows."""
_NOT_RUN: dict[str, Any] = {"models": {}}

_PRETRAINED_ROWS = {
    "popularity": "popularity",
    "counts": "co-occurrence counts",
    "text": "text similarity (MiniLM)",
    "ease": "EASE",
    "sasrec": "SASRec",
    "text-sasrec": "SASRec over text vectors (MiniLM)",
    "fusion": "cheap recommenders added up",
    "text-only LLaRA (sequence)": "text-only LLaRA (SmolLM2), by itself",
    "hybrid LLaRA (sequence without fusion)": "hybrid LLaRA (SmolLM2), by itself",
    "hybrid LLaRA (sequence)": "hybrid LLaRA (SmolLM2), added to the recommenders",
}
"""Models of the table of several data sets, whose columns follow; a cell stays empty where the JSON lacks a model."""
_PRETRAINED_SETS = {
    "movielens-100k-smollm2": "MovieLens-100K",
    "lastfm-smollm2": "LastFM in time",
    "beauty": "Beauty",
    "steam-smollm2": "Steam, 1,000 training rows",
}


def readme_table(results: dict[str, Any]) -> str:
    """What the README shows: MovieLens as published, then pretrained models on several sets."""
    pretrained = [results.get(f"movielens-100k-smollm2-{rows}", _NOT_RUN) for rows in ("answer", "paper")]
    sets = {shown: results[name] for name, shown in _PRETRAINED_SETS.items() if name in results}
    return f"{_paper_table(results['movielens-100k'], *pretrained)}\n\n{_pretrained_table(sets)}"


def _paper_table(entry: dict[str, Any], *pretrained: dict[str, Any]) -> str:
    published = entry["published"]
    rows = [[published["model"], _cell(published["hr@1"], None, published["valid_ratio"])]]
    shown_models = [(shown, entry["models"][name]) for name, shown in _README_ROWS.items()]
    for shown, model in [*shown_models, *_further(pretrained)]:
        rows.append([shown, _cell(model["hr@1"], model["interval"], model["valid_ratio"])])
    title = entry["title"].partition(" ")[0]
    return f"{table([f'{title}: HR@1 [95 % interval]; ValidRatio', ''], rows)}\n\n{_counted(entry, pretrained)}"


def _further(pretrained: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Rows of pretrained models that have been run, with what they are called."""
    return [
        (shown, entry["models"][name])
        for name, shown in _ANSWER_ROWS.items()
        for entry in pretrained
        if name in entry["models"]
    ]


def _pretrained_table(sets: dict[str, dict[str, Any]]) -> str:
    """HR@1 of every model on every set, and whether it is above or below SASRec there."""
    rows = []
    for name, shown in _PRETRAINED_ROWS.items():
        models = [entry["models"].get(name) for entry in sets.values()]
        rows.append([shown, *("" if model is None else _cell_beside_sasrec(model) for model in models)])
    counted = [
        f"{shown}: {model['total'] * len(model['hits']):,} ranked lists of {entry['users']:,} users"
        for shown, entry in sets.items()
        for model in [entry["models"]["popularity"]]
    ]
    legend = "▲ above SASRec, ▼ below it, paired over users (95 %); = a tie; an empty cell was not run."
    return f"{table(['HR@1 among 20 candidates', *sets], rows)}\n\n{legend} {'; '.join(counted)}. One run each."


def _cell_beside_sasrec(model: dict[str, Any]) -> str:
    versus = model.get("versus_sasrec")
    return f"{model['hr@1']:.3f}" + (f" {_SIGNS[versus['verdict']][0]}" if versus else "")


def dataset_table(entry: dict[str, Any]) -> str:
    """All that is known of a data set's models, most recent runs first."""
    most = max(entry["models"].values(), key=lambda model: model["hr@1"])
    with_sasrec = any("versus_sasrec" in model for model in entry["models"].values())
    rows = []
    for name, model in entry["models"].items():
        cells = [
            f"**{name}**" if model is most else name,
            f"{sum(model['hits']):,} / {model['total'] * len(model['hits']):,}",
            _cell(model["hr@1"], model["interval"], None),
            *(_ratio(model[metric]) for metric in ("hr@5", "ndcg@10", "mrr", "valid_ratio")),
            _versus(model["versus"]),
            *([_versus(model.get("versus_sasrec"))] if with_sasrec else []),
            ", ".join(map(str, model["seeds"])),
        ]
        rows.append(cells)
    titles = [
        "model", "hits / rows", "HR@1 [95% interval]", "HR@5", "NDCG@10", "MRR", "ValidRatio", f"vs {_baseline(entry)}",
        *(["vs SASRec"] if with_sasrec else []), "seeds",
    ]  # fmt: skip
    parts = [table(titles, rows), _caption(entry), *compared(entry)]
    return "\n\n".join(parts)


def _baseline(entry: dict[str, Any]) -> str:
    """What the models of a data set are compared with."""
    name: str = next(model["versus"]["baseline"] for model in entry["models"].values() if model["versus"])
    return name


def _counted(entry: dict[str, Any], pretrained: Sequence[dict[str, Any]]) -> str:
    models = [(shown, entry["models"][name]) for name, shown in _README_ROWS.items()]
    seeds, draws = (max(count) for count in ([len(m["seeds"]) for _, m in models], [m["draws"] for _, m in models]))
    shorter: dict[str, list[str]] = {}
    for shown, model in [*models, *_further(pretrained)]:
        said = _fewer(model, seeds, draws)
        if said:
            shorter.setdefault(said, []).append(shown.partition(":")[0])
    counted = f"{entry['users']} users x {draws} draws, {_runs(seeds)}"
    exceptions = [f"{said}: {', '.join(names)}" for said, names in shorter.items()]
    return f"{'; '.join([counted, *exceptions])}. A blind guess scores {1 / entry['num_candidates']:.3f}."


def _fewer(model: dict[str, Any], seeds: int, draws: int) -> str:
    """What a row is counted over, where that is less than the others are; else empty."""
    said = [_runs(len(model["seeds"]))] if len(model["seeds"]) < seeds else []
    said += [f"{model['draws']} draws"] if model["draws"] < draws else []
    return ", ".join(said)


def _runs(seeds: int) -> str:
    return "one run" if seeds == 1 else f"mean of {seeds} seeds"


def _caption(entry: dict[str, Any]) -> str:
    draws = {model["draws"] for model in entry["models"].values()}
    shown = f"{max(draws)} candidate draws"
    few = f" (where hits are of fewer rows: {min(draws)} draws)" if len(draws) > 1 else ""
    counted = f"{entry['users']} users x {shown}{few}, {entry['num_candidates']} candidates each"
    lines = [f"{counted}; a blind guess scores {1 / entry['num_candidates']:.3f}. Hits of several seeds are added up."]
    ours = next(name for name in entry["models"] if name.startswith("hybrid LLaRA ("))
    versus = entry["models"][ours]["versus"]
    if versus["interval"] is not None:
        low, high = versus["interval"]
        lines.append(
            f"{ours} - {versus['baseline']}, paired over users: {versus['difference']:+.3f} [{low:+.3f}, {high:+.3f}], "
            f"p = {versus['p_value']:.2g}: {versus['verdict']}."
        )
    made: dict[str, list[str]] = {}
    for name, model in entry["models"].items():
        made.setdefault(model["made"], []).append(name)
    if len(made) == 1:
        return f"{' '.join(lines)} Made on {next(iter(made))}."
    return " ".join([*lines, *(f"Made on {when}: {', '.join(names)}." for when, names in made.items())])


def _cell(hit_ratio: float, interval: list[float] | None, valid_ratio: float | None) -> str:
    shown = f"{hit_ratio:.3f}"
    if interval is not None:
        shown += f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return shown if valid_ratio is None else f"{shown}; {valid_ratio:.2f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _versus(versus: dict[str, Any] | None) -> str:
    return "–" if versus is None else f"{versus['difference']:+.3f} {_SIGNS[versus['verdict']]}"
