"""Tables of paired differences and of slices, from `benchmarks/real_results.json`."""

from typing import Any

from docs.generate.marks import table

_SHOWN = {
    "sasrec": "SASRec",
    "text-sasrec": "SASRec over texts",
    "fusion": "the recommenders added up",
    "text-only LLaRA (sequence)": "text-only, by itself",
    "hybrid LLaRA (sequence without fusion)": "hybrid, by itself",
    "hybrid LLaRA (sequence)": "hybrid with the recommenders",
    "hybrid LLaRA (answer)": "hybrid, exact answers",
    "hybrid LLaRA (free generation)": "hybrid, what it writes",
}
_SLICINGS = {"target_count": "right item in training", "history_length": "items read"}


def compared(entry: dict[str, Any]) -> list[str]:
    """Paragraphs that follow the table of all models; none where nothing is stored."""
    parts = []
    if entry.get("pairs"):
        rows = [[_called(pair["model"]), _called(pair["against"]), _tested(pair)] for pair in entry["pairs"]]
        parts += ["Paired over users:", table(["", "against", "difference [95 % interval]"], rows, left=3)]
    for key, buckets in entry.get("slices", {}).items():
        if len(buckets) > 1:
            parts.append(_sliced(_SLICINGS[key], buckets))
    return parts


def _sliced(title: str, buckets: list[dict[str, Any]]) -> str:
    names = list(buckets[0]["hr@1"])
    rows = [
        [
            bucket["bucket"],
            f"{bucket['rows']:,}",
            *(f"{bucket['hr@1'][name]:.3f}" for name in names),
            _tested(bucket, p_value=False),
        ]
        for bucket in buckets
    ]
    last = f"{_called(buckets[0]['model'])} - {_called(buckets[0]['against'])}"
    return table([title, "rows", *(_called(name) for name in names), last], rows)


def _called(name: str) -> str:
    return _SHOWN.get(name, name)


def _tested(test: dict[str, Any], *, p_value: bool = True) -> str:
    if test["interval"] is None:
        return f"{test['difference']:+.3f}, of too few users to say"
    low, high = test["interval"]
    p = f", p = {test['p_value']:.2g}" if p_value else ""
    return f"{test['difference']:+.3f} [{low:+.3f}, {high:+.3f}]{p}, {test['verdict']}"
