"""Judging a run: every model on the same frozen candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llara.data import Split
from llara.evaluate import (
    SCORERS,
    CatalogTask,
    Choice,
    EvaluationReport,
    ExamplePrompt,
    Judged,
    RankingTask,
    ScorerMaterial,
    behavior_of,
    compare_results,
    judge,
    judge_generation,
    judge_without_recommender,
    model_name,
)
from llara.leakage import LeakageFinding
from llara.model import Llara, ScorerName, in_order, shown_columns
from llara.prompt import build_history, render_prompt
from llara.recommender import RecommenderScorer, Scorer
from llara.run.choices import HEADS
from llara.run.config import RunConfig
from llara.run.events import Listener, ignore, stage

_BASELINES = ("popularity", "recommender")


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found.

    Attributes:
        report: Models on the same candidates, scored.
        generation: Free generation on the first draws; None if none was asked, or if it covers all draws and so stands
            in `report`.
        judged: By model name, in table order.
        examples: Example prompts with each model's choice.
        task: Rows and candidates.
        leakage: One finding per leak check; those of level "leak" stand in `report` as well.
    """

    report: EvaluationReport
    generation: EvaluationReport | None
    judged: dict[str, Judged]
    examples: tuple[ExamplePrompt, ...]
    task: RankingTask
    leakage: tuple[LeakageFinding, ...] = ()


def evaluate_run(
    llara: Llara,
    split: Split,
    task: RankingTask,
    *,
    config: RunConfig,
    scorers: Sequence[str] | None = None,
    others: Sequence[Judged] = (),
    leakage: tuple[LeakageFinding, ...] = (),
    listener: Listener = ignore,
) -> Evaluated:
    """Judge popularity, the recommender, LLaRA by each scorer, and free generation.

    Args:
        llara: Trained model with its recommender.
        split: Its training part gives the popularity, and how often each target occurs there.
        task: Rows and frozen candidates.
        config: Draws of free generation, batch size, examples.
        scorers: Names of `SCORERS`, judged beside popularity and the recommender; None: every way that LLaRA was
            trained for, the default first, and free generation.
        others: Results of other runs on the same candidates, shown beside.
        leakage: What the leak checks found; results carry the leaks.
        listener: Told of progress.
    """
    material = ScorerMaterial(llara, split, config.evaluate.batch_size)
    judged = [judge(scorer, task) for scorer in _baselines(material)]  # seconds at most: no stage of their own
    judged += others
    for name in scorers or trained_scorers(llara, config):
        if name not in _BASELINES:
            judged.append(_judge_shown(SCORERS[name](material), task, listener))
        if name in HEADS:
            by_itself = judge_without_recommender(judged[-1], llara, name, task, batch_size=config.evaluate.batch_size)
            judged += [by_itself] if by_itself is not None else []
    is_asked = scorers is None and not isinstance(task, CatalogTask)
    written = _judge_generation(llara, task, config=config, listener=listener) if is_asked else None
    known = tuple(finding for finding in leakage if finding.level == "leak")
    together = written is not None and written.result.draws == len(task.draws)
    table = [*judged, written] if written is not None and together else judged
    sliced_by = behavior_of(task.examples, split.train_sequences)
    compared = compare_results([entry.result for entry in table], baseline=llara.recommender.name, sliced_by=sliced_by)
    generation = None
    if written is not None:
        judged.append(written)
        if not together:
            alone = compare_results([written.result], sliced_by=sliced_by)
            generation = replace(alone, known_leaks=known, task=task.task)
    by_name = {entry.result.name: entry for entry in judged}
    examples = () if not task.draws else example_prompts(llara, task, by_name, count=config.evaluate.examples)
    members = _members(llara, [entry.result.name for entry in table])
    report = replace(compared, known_leaks=known, task=task.task, members=members)
    return Evaluated(report, generation, by_name, examples, task, leakage)


def _baselines(material: ScorerMaterial) -> list[Scorer]:
    """Popularity, the recommender, and what that is made of."""
    found = [SCORERS[name](material) for name in _BASELINES]
    parts = material.llara.recommender.parts
    return [found[0], *(RecommenderScorer(part) for part in parts), *found[1:]]


def _members(llara: Llara, judged: Sequence[str]) -> tuple[str, ...]:
    """Names of the judged models that others are sums of: what the recommender is made of, and heads by themselves."""
    without = f" without {llara.recommender.name})"
    heads = [name for name in judged if name.startswith("hybrid LLaRA (") and name.endswith(without)]
    parts = [part.name for part in llara.recommender.parts] or ([llara.recommender.name] if heads else [])
    found = [name for name in (*parts, *heads) if name in judged]
    return tuple(found) if len(found) > 1 else ()


def _judge_shown(scorer: Scorer, task: RankingTask, listener: Listener) -> Judged:
    with stage(listener, f"ranking with {scorer.name}", task.num_rankings) as advance:
        return judge(scorer, task, on_progress=advance)


def _judge_generation(llara: Llara, task: RankingTask, *, config: RunConfig, listener: Listener) -> Judged | None:
    """Free generation on the first draws, if it was trained for and asked for."""
    if config.evaluate.generation_draws == 0 or "answer" not in config.train.trains:
        return None
    few = task.first_draws(config.evaluate.generation_draws)
    name = model_name(llara, "free generation")
    with stage(listener, f"generating with {name}", len(few.draws) * len(few.examples)) as advance:
        return judge_generation(name, llara, few, batch_size=config.evaluate.batch_size, on_progress=advance)


def trained_scorers(llara: Llara, config: RunConfig) -> list[ScorerName]:
    """Every way of scoring that a run has trained, the default first."""
    return list(dict.fromkeys((llara.default_scorer, *config.train.trains)))


def example_prompts(
    llara: Llara, task: RankingTask, judged: dict[str, Judged], *, count: int
) -> tuple[ExamplePrompt, ...]:
    """Some rows of the first draw, of many users, as the model reads them, with every model's choice."""
    histories = task.examples.histories()
    titles, ids = llara.catalog.titles, task.item_ids
    index = {item_id: place for place, item_id in enumerate(ids)}
    shown = []
    for row in rows_of_many_users(task.user_ids, count):
        items = task.draws[0].items[row].tolist()
        target = int(task.examples.target[row])
        choices = {}
        for name, entry in judged.items():
            chosen = entry.predictions.chosen_ids[0][row]
            title = None if chosen is None else titles[index[chosen]]
            choices[name] = Choice(title=title, correct=chosen is not None and chosen == ids[target])
        shown.append(
            ExamplePrompt(
                user_id=task.user_ids[row],
                prompt_text=_as_read(llara, histories[row], items),
                target_title=titles[target],
                candidates=[titles[item] for item in items],
                choices=choices,
                target_column=int(task.draws[0].target_column[row]),
            )
        )
    return tuple(shown)


def _as_read(llara: Llara, history: Sequence[int], candidates: Sequence[int]) -> str:
    """What the model reads where it is asked as it was trained, for people."""
    texts = llara.encoder.item_texts
    if llara.default_scorer != "sequence":
        columns = shown_columns(llara, [history], [candidates], hybrid=llara.uses_behavior)
        shown = in_order([candidates], columns)[0]
        return render_prompt(llara.encoder.build(history, shown), texts.__getitem__)
    if llara.reads_whole_items:
        return render_prompt(build_history("", history), lambda item: f"◆ ({texts[item]})", slot_mark="")
    return render_prompt(build_history(llara.encoder.lead, history), texts.__getitem__)


def rows_of_many_users(user_ids: Sequence[int | str], count: int) -> list[int]:
    """Rows to show, in order: the first of each user, then more of them."""
    first = {user: row for row, user in reversed(list(enumerate(user_ids)))}
    is_first = [first[user] == row for row, user in enumerate(user_ids)]
    by_preference = sorted(range(len(user_ids)), key=lambda row: not is_first[row])
    return sorted(by_preference[:count])
