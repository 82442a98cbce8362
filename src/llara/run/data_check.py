"""`llara data check`: whether a dataset folder can be used, and how far its results could be trusted."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from llara.data import (
    CandidateConfig,
    CandidateSet,
    Dataset,
    Examples,
    Split,
    SplitConfig,
    SplitMethod,
    draw_candidates,
    load_dataset,
    split_dataset,
)
from llara.errors import ConfigError, DataError
from llara.leakage import Finding, LeakageFinding, check_leakage, check_loaded

_DRAWS = 5
_MOST_ROWS = 50_000


@dataclass(frozen=True)
class CheckedFolder:
    """What `llara data check` found.

    Attributes:
        folder: The dataset folder.
        findings: Errors and warnings about the folder itself.
        leakage: One finding per leak check; none where the folder cannot be read.
        split: The method of the split that was checked; None where there is none.
    """

    folder: Path
    findings: list[Finding]
    leakage: list[LeakageFinding]
    split: str | None

    def count(self, level: str) -> int:
        """How many findings have a level."""
        levels: list[str] = [finding.level for finding in self.findings]
        levels += [finding.level for finding in self.leakage]
        return levels.count(level)

    @property
    def usable(self) -> bool:
        """Whether the folder can be used at all."""
        return self.count("error") == 0

    def as_json(self) -> dict[str, Any]:
        """Everything that was found, as plain values."""
        return {
            "folder": str(self.folder),
            "ok": self.usable,
            "findings": [asdict(finding) for finding in self.findings],
            "split": self.split,
            "leakage": [asdict(finding) for finding in self.leakage],
            "leaks": self.count("leak"),
        }


def check_folder(
    folder: Path,
    *,
    split: str | None,
    history_length: int | None,
    min_history: int | None,
    exclude: str,
    num_negatives: int,
) -> CheckedFolder:
    """Check a dataset folder and, on a split of it, everything that could make a result look better than it is.

    Args:
        folder: The dataset folder.
        split: Method of the split; None: as `dataset.json` says, else "rows" if the folder has rows, else "users".
        history_length: Items of the history that are visible; None: as `dataset.json` says, else 10.
        min_history: Rows with fewer earlier items are dropped; None: as `dataset.json` says, else 3.
        exclude: What is no negative: "visible" or "touched".
        num_negatives: Negatives per row.

    Raises:
        ConfigError: If an option is not valid, or the data set cannot be split in the way that is asked for.
    """
    _refuse_unknown("--split", split, (None, *get_args(SplitMethod)))
    _refuse_unknown("--exclude", exclude, ("visible", "touched"))
    candidates = CandidateConfig(num_negatives=num_negatives, exclude="touched" if exclude == "touched" else "visible")
    try:
        dataset = load_dataset(folder)
    except DataError as error:
        return CheckedFolder(folder, [Finding("error", str(error))], [], None)
    findings = check_loaded(dataset)
    config = split_as_meant(dataset, split, history_length, min_history)
    method = config.method
    try:
        made = split_dataset(dataset, config)
    except DataError as error:
        findings.append(Finding("warning", f"leaks of the {method!r} split are not known: {error}"))
        return CheckedFolder(folder, findings, check_leakage(dataset, None), None)
    rows = _thinned(made.test)
    sets = _draw(dataset, made, rows, candidates, findings)
    return CheckedFolder(folder, findings, check_leakage(dataset, made, examples=rows, candidates=sets), method)


def split_as_meant(
    dataset: Dataset, method: str | None = None, history_length: int | None = None, min_history: int | None = None
) -> SplitConfig:
    """What was asked for, else what `dataset.json` says, else what there is."""
    asked = {"method": method, "history_length": history_length, "min_history": min_history}
    settings: dict[str, object] = {"method": "users" if dataset.rows is None else "rows", **dataset.info.split}
    settings |= {name: value for name, value in asked.items() if value is not None}
    return SplitConfig(**settings)  # type: ignore[arg-type]


def _refuse_unknown(option: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        names = ", ".join(name for name in known if name is not None)
        raise ConfigError(f"{option} must be one of {names}, got {value!r}.")


def _thinned(rows: Examples) -> Examples:
    if len(rows) <= _MOST_ROWS:
        return rows
    return rows.select(np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(np.int64))


def _draw(
    dataset: Dataset, split: Split, rows: Examples, config: CandidateConfig, findings: list[Finding]
) -> list[CandidateSet]:
    """A few candidate sets of each row; none, and a warning, where there are too few items."""
    try:
        return [
            draw_candidates(
                rows,
                config,
                num_items=dataset.catalog.num_items,
                train_sequences=split.train_sequences,
                all_sequences=dataset.log.sequences,
                draw=draw,
            )
            for draw in range(_DRAWS)
        ]
    except DataError as error:
        findings.append(Finding("warning", f"leaks of candidate sets are not known: {error}"))
        return []
