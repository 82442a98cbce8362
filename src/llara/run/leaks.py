"""Refusing leaks before anything is spent, unless they are allowed by name."""

import logging
from collections.abc import Collection, Sequence

from llara.data import Catalog, Dataset, Split
from llara.data.item_text import parse_item_text
from llara.errors import DataError
from llara.evaluate import RankingTask
from llara.leakage import LeakageFinding, check_leakage
from llara.run.config import RunConfig
from llara.run.material import Material, text_of_encoder

logger = logging.getLogger(__name__)


def accept_data(
    config: RunConfig,
    dataset: Dataset,
    split: Split,
    task: RankingTask,
    *,
    also_allowed: Collection[str] = (),
    quiet: bool = False,
) -> tuple[LeakageFinding, ...]:
    """Look for leaks in what a run learns from and is judged on.

    Args:
        config: Says which metadata columns the model reads, and which leaks are allowed.
        dataset: The data.
        split: Its split.
        task: Rows and candidates that are judged.
        also_allowed: Leaks that are allowed beside those of the config.
        quiet: Log nothing.

    Returns:
        One finding per check; those of level "leak" are allowed.

    Raises:
        DataError: If there is a leak that is not allowed.
    """
    findings = check_leakage(
        dataset,
        split,
        examples=task.examples,
        candidates=task.draws,
        part=task.part,
        columns=columns_read(config, dataset.catalog),
        seed=config.data.seed,
    )
    allowed = {*config.data.allow_leaks, *also_allowed}
    refused = [finding for finding in findings if finding.level == "leak" and finding.name not in allowed]
    if refused:
        raise DataError(_refusal(dataset.info.name, refused, allowed))
    if not quiet:
        _log(findings, dataset)
    return tuple(findings)


def find_leaks(material: Material, *, quiet: bool = False) -> tuple[LeakageFinding, ...]:
    """What the leak checks find in a run's data; a leak that the settings do not allow is refused."""
    return accept_data(material.config, material.dataset, material.split, material.test, quiet=quiet)


def _log(findings: Sequence[LeakageFinding], dataset: Dataset) -> None:
    for finding in findings:
        if finding.level == "leak":
            logger.warning("known leak %s: %s", finding.name, finding.message)
    doubts = [finding.name for finding in findings if finding.level == "warning"]
    if doubts:
        logger.warning(
            "leak checks that leave a doubt: %s; the report and `llara data check %s` explain them.",
            ", ".join(doubts), dataset.folder,
        )  # fmt: skip


def columns_read(config: RunConfig, catalog: Catalog) -> frozenset[str]:
    """Metadata columns whose values are read: in prompts, by the text encoder, or while the catalog is taught."""
    templates = (config.prompt.item_text, text_of_encoder(config))
    columns = {column for template in templates for column in parse_item_text(template).columns}
    adapt = config.backbone.adapt
    if adapt.steps > 0:
        columns |= set(adapt.columns or catalog.metadata.columns)
    return frozenset(columns)


def _refusal(data_set: str, refused: Sequence[LeakageFinding], allowed: Collection[str]) -> str:
    found = " ".join(f"[{finding.name}] {finding.message}" for finding in refused)
    names = [finding.name for finding in refused]
    setting = f"data.allow_leaks=[{', '.join(sorted({*names, *allowed}))}]"
    options = " ".join(f"--allow-leak {name}" for name in names)
    return (
        f"data set {data_set!r} leaks, so results on it would not mean what they seem to. {found} To use it all the "
        f"same, allow what you know about: `llara train CONFIG.yaml --set '{setting}'` or the same in the config; "
        f"`llara evaluate RUN {options}`. Every result then says so."
    )
