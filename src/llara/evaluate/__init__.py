"""Evaluation: metrics, statistics, predictions, the report, and how models are judged on frozen candidates."""

from llara.evaluate.calibration import PriorWeights, calibrate_prior, calibrated_hit_ratio, fit_prior_weights
from llara.evaluate.content import Choice, ExamplePrompt, ReportContent
from llara.evaluate.judging import (
    Judged,
    evaluate_model,
    judge,
    judge_generation,
    judge_without_recommender,
    score_draws,
)
from llara.evaluate.metrics import BoolArray, FloatArray, hit_ratio, hits_at, mrr, ndcg, target_ranks
from llara.evaluate.model_result import Asked, ModelResult
from llara.evaluate.predictions import (
    Predictions,
    predictions_from_choices,
    predictions_from_scores,
    read_predictions,
    write_predictions,
)
from llara.evaluate.report import render_report, write_report
from llara.evaluate.results import EvaluationReport, compare_results
from llara.evaluate.scorers import SCORERS, LlaraScorer, ScorerMaterial, model_name, register_scorer
from llara.evaluate.settings import EvaluateConfig
from llara.evaluate.slices import SLICINGS, Slice, SlicedModel, SlicedResults, Slicing, behavior_of
from llara.evaluate.statistics import (
    Interval,
    PairedTest,
    Verdict,
    bootstrap_interval,
    paired_test,
    wilson_interval,
)
from llara.evaluate.tables import markdown_table, results_table, summary_sentence
from llara.evaluate.task import CatalogTask, Part, RankingTask, build_task
from llara.evaluate.tasks import (
    TASKS,
    Metric,
    SequentialTask,
    Task,
    TaskMaterial,
    metrics_of,
    register_task,
    task_named,
)

__all__ = [
    "SCORERS",
    "SLICINGS",
    "TASKS",
    "Asked",
    "BoolArray",
    "CatalogTask",
    "Choice",
    "EvaluateConfig",
    "EvaluationReport",
    "ExamplePrompt",
    "FloatArray",
    "Interval",
    "Judged",
    "LlaraScorer",
    "Metric",
    "ModelResult",
    "PairedTest",
    "Part",
    "Predictions",
    "PriorWeights",
    "RankingTask",
    "ReportContent",
    "ScorerMaterial",
    "SequentialTask",
    "Slice",
    "SlicedModel",
    "SlicedResults",
    "Slicing",
    "Task",
    "TaskMaterial",
    "Verdict",
    "behavior_of",
    "bootstrap_interval",
    "build_task",
    "calibrate_prior",
    "calibrated_hit_ratio",
    "compare_results",
    "evaluate_model",
    "fit_prior_weights",
    "hit_ratio",
    "hits_at",
    "judge",
    "judge_generation",
    "judge_without_recommender",
    "markdown_table",
    "metrics_of",
    "model_name",
    "mrr",
    "ndcg",
    "paired_test",
    "predictions_from_choices",
    "predictions_from_scores",
    "read_predictions",
    "register_scorer",
    "register_task",
    "render_report",
    "results_table",
    "score_draws",
    "summary_sentence",
    "target_ranks",
    "task_named",
    "wilson_interval",
    "write_predictions",
    "write_report",
]
