"""Evaluation: metrics, statistics, predictions, the report. Works on arrays; the models that score live elsewhere."""

from llara.evaluate.content import Choice, ExamplePrompt, ReportContent
from llara.evaluate.figures import save_figures
from llara.evaluate.metrics import BoolArray, FloatArray, hit_ratio, hits_at, mrr, ndcg, target_ranks
from llara.evaluate.model_result import ModelResult, Task
from llara.evaluate.predictions import (
    Predictions,
    predictions_from_choices,
    predictions_from_scores,
    read_predictions,
    write_predictions,
)
from llara.evaluate.report import render_report, write_report
from llara.evaluate.results import EvaluationReport, compare_results
from llara.evaluate.statistics import (
    Interval,
    PairedTest,
    Verdict,
    bootstrap_interval,
    paired_test,
    wilson_interval,
)
from llara.evaluate.tables import markdown_table, results_table, summary_sentence
from llara.evaluate.task import (
    EvaluateConfig,
    Judged,
    RankingTask,
    build_task,
    judge_generation,
    judge_llara,
    judge_recommender,
)

__all__ = [
    "BoolArray",
    "Choice",
    "EvaluateConfig",
    "EvaluationReport",
    "ExamplePrompt",
    "FloatArray",
    "Interval",
    "Judged",
    "ModelResult",
    "PairedTest",
    "Predictions",
    "RankingTask",
    "ReportContent",
    "Task",
    "Verdict",
    "bootstrap_interval",
    "build_task",
    "compare_results",
    "hit_ratio",
    "hits_at",
    "judge_generation",
    "judge_llara",
    "judge_recommender",
    "markdown_table",
    "mrr",
    "ndcg",
    "paired_test",
    "predictions_from_choices",
    "predictions_from_scores",
    "read_predictions",
    "render_report",
    "results_table",
    "save_figures",
    "summary_sentence",
    "target_ranks",
    "wilson_interval",
    "write_predictions",
    "write_report",
]
