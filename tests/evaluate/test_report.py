import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from llara.errors import DataError
from llara.evaluate import (
    Choice,
    EvaluationReport,
    ExamplePrompt,
    ModelResult,
    ReportContent,
    compare_results,
    render_report,
    write_report,
)
from llara.evaluate.figures import (
    figure_svg,
    loss_figure,
    moving_average,
    report_figures,
    save_figures,
    series,
    validation_figure,
)
from llara.evaluate.report import model_kinds, setting_groups
from llara.leakage import LeakageFinding

ATTACK = "<script>alert(1)</script>"
LEAK = LeakageFinding("item-order", "leak", f"sorted by {ATTACK}")
VOID = {"meta", "br", "use", "path", "line", "img", "link", "hr", "input"}


class _Page(HTMLParser):
    """Collects tags, ids, attributes and text, and checks that every tag that opens is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def _evaluation(*names: str, draws: int = 4) -> EvaluationReport:
    rng = np.random.default_rng(0)
    hashes = tuple(f"{draw:064x}" for draw in range(draws))
    results = [ModelResult(name, rng.integers(1, 8, (draws, 30)), 20, hashes, 1.0) for name in names]
    return compare_results(results, baseline=names[0])


def _content(name: str = "LLaRA hybrid", title: str = "Alien (1979)") -> ReportContent:
    metrics = [
        {"step": step, "loss": 3 / step, "learning_rate": 1e-3, "hybrid_planned": step / 60, "hybrid_realized": 0.5,
         "validation_hit_ratio": 0.3 + step / 1000 if step % 20 == 0 else None}
        for step in range(1, 61)
    ]  # fmt: skip
    example = ExamplePrompt(
        user_id=title,
        prompt_text=f"Watched: {title}\nNext?",
        target_title=title,
        candidates=[title, "Fargo (1996)", title],
        choices={"SASRec": Choice("Fargo (1996)", False), name: Choice(title, True), "free": Choice(None, False)},
        target_column=2,
    )
    return ReportContent(
        title=f"Report on {title}",
        summary=f"About {title}.",
        evaluation=_evaluation("SASRec", name),
        settings={"seed": 0, title: {"lora": {"r": 8, "targets": ["q", title]}, "resume": False, "path": None}},
        data_facts={"users": 943, "interactions": 82519, "origin": title},
        training_metrics=metrics,
        examples=[example] * 10,
        leakage=[LEAK, LeakageFinding("metadata", "ok", f"nothing about {title}")],
        notes=[f"Beware of {title}."],
    )


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(_content())


@pytest.fixture(scope="module")
def attacked() -> str:
    return render_report(_content(name=f"{ATTACK} $x$", title=f"{ATTACK}\"'&"))


def test_report_loads_nothing_from_elsewhere(html: str) -> None:
    page = _Page(html)
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert "<script" not in html
    assert all(value.startswith("data:") for value in page.values("src"))
    assert all(value.startswith("#") for name in ("href", "xlink:href") for value in page.values(name))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def test_report_is_well_formed_with_unique_ids_and_live_links(html: str) -> None:
    page = _Page(html)
    ids = page.values("id")
    assert page.open == []
    assert len(ids) == len(set(ids))
    links = [value[1:] for name in ("href", "xlink:href") for value in page.values(name)]
    assert set(links) <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", html)) <= set(ids)


def test_report_shows_all_parts(html: str) -> None:
    text = " ".join("".join(_Page(html).text).split())
    for part in ("How to read this", "Training loss", "Learning curve", "Curriculum: planned and realized",
                 "ValidRatio", "10 examples", "✓ right", "✗ wrong", "no valid answer", "lora.targets", "82,519",
                 "Beware of", "30 users x 4 candidate draws", "blind guess"):  # fmt: skip
        assert part in text
    assert html.count("<svg ") == 4
    assert html.count('<article class="example">') == 10
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_known_leaks_stand_above_the_results(html: str) -> None:
    content = _content()
    leaking = replace(content, evaluation=replace(content.evaluation, known_leaks=(LEAK,)))
    page = render_report(leaking)
    assert _Page(page).open == []
    assert (
        page.index("Known leaks in this data set.")
        < page.index("sorted by &lt;script&gt;")
        < page.index('id="results"')
    )
    assert "Known leaks" not in html
    assert '<tr class="leak"><th scope="row">item-order</th><td>leak</td>' in html
    assert '<tr class="ok"><th scope="row">metadata</th><td>ok</td>' in html


def test_of_two_equal_titles_only_the_target_is_marked(html: str) -> None:
    assert html.count("← really chosen") == 10
    example = ExamplePrompt(1, "p", "A", ["A", "B"], {})
    assert (example.is_target(0), example.is_target(1)) == (True, False)


def test_titles_and_names_are_inert(attacked: str) -> None:
    page = _Page(attacked)
    assert "script" not in page.tags
    assert "<script" not in attacked
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in attacked
    assert page.open == []
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_a_dollar_sign_in_a_name_starts_no_formula(attacked: str) -> None:
    assert "$x$" in attacked[attacked.index("<svg") : attacked.index("</svg>")]


def test_missing_parts_leave_no_trace() -> None:
    html = render_report(ReportContent("Small", "Nothing more.", compare_results(_evaluation("A", draws=1).results)))
    page = _Page(html)
    assert page.open == []
    assert html.count("<svg ") == 1
    assert "30 users, 20 candidates each" in html
    for part in (
        'id="training"',
        'id="examples"',
        'id="settings"',
        'id="notes"',
        'id="leakage"',
        "#training",
        "candidate draws",
        "better, worse, tie",
    ):
        assert part not in html
    assert "None" not in "".join(page.text)


def test_names_in_any_script_are_drawn() -> None:
    figures = report_figures(ReportContent("t", "s", _evaluation("推荐模型", "x" * 80)))
    svg = figure_svg(figures[0])
    assert "推荐模型" in svg
    assert "x" * 47 + "…" in svg


def test_figures_use_the_colors_of_the_page() -> None:
    svg = figure_svg(report_figures(_content())[0])
    assert "var(--accent)" in svg
    assert not re.findall(r"#[0-9a-f]{6}\b", svg.replace("#ffffff", ""))


def test_report_is_written_as_one_file(tmp_path: Path) -> None:
    write_report(tmp_path / "run" / "report.html", _content())
    assert (tmp_path / "run" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(list((tmp_path / "run").iterdir())) == 1


def test_curves_of_several_stages_are_drawn_apart_and_the_last_one_says_what_is_best() -> None:
    scores = [0.8, 0.9, 0.2, 0.4, 0.3]  # of another scorer from the third on
    metrics = [
        {"step": step, "stage": 1 if step < 2 else 2, "loss": 5.0 - step, "validation_hit_ratio": score}
        for step, score in enumerate(scores)
    ]
    learning = validation_figure(metrics)
    assert learning is not None
    assert [text.get_text() for text in learning.axes[0].texts] == ["best 0.400, step 3"]
    loss = loss_figure(metrics)
    assert loss is not None
    drawn = [np.asarray(line.get_xdata()).tolist() for line in loss.axes[0].lines]
    assert drawn[1:] == [[0, 1], [2, 3, 4], [1.5, 1.5]]  # averages, and where the second one begins
    content = replace(_content(), training_metrics=metrics)
    assert [("dashed line stands" in figure.caption) for figure in report_figures(content)[1:3]] == [True, True]
    assert not any("dashed line stands" in figure.caption for figure in report_figures(_content())[1:])


def test_figures_are_written_as_png(tmp_path: Path) -> None:
    paths = save_figures(tmp_path / "figures", report_figures(_content()))
    assert [path.name for path in paths] == ["hr_at_1.png", "validation_hr_at_1.png", "loss.png", "curriculum.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_the_same_content_gives_the_same_file(html: str) -> None:
    assert render_report(_content()) == html


def test_a_refused_write_keeps_the_earlier_report(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.mkdir()  # a folder in the file's place is refused by every file system
    with pytest.raises(DataError, match=r"report\.html"):
        write_report(path, ReportContent("t", "s", _evaluation("A")))
    assert list(tmp_path.iterdir()) == [path]


def test_series_keeps_steps_that_carry_a_finite_value() -> None:
    step, loss = series([{"step": 1, "loss": 2.0}, {"step": 2}, {"step": 3, "loss": float("nan")}], "loss")
    assert (step.tolist(), loss.tolist()) == ([1.0], [2.0])


def test_moving_average_keeps_constants_and_lines() -> None:
    line = np.arange(200.0)
    assert moving_average(line) == pytest.approx(line)
    assert moving_average(np.ones(7)).tolist() == [1.0] * 7
    noise = np.random.default_rng(0).normal(size=400)
    assert moving_average(noise).std() < 0.4


def test_settings_are_readable() -> None:
    settings = {"seed": 7, "train": {"lr": 8e-4, "steps": 12000, "resume": False, "extra": {}}, "tags": ["a", 1]}
    assert setting_groups(settings) == [
        ("run", [("seed", "7"), ("tags", "a, 1")]),
        ("train", [("lr", "0.0008"), ("steps", "12,000"), ("resume", "no"), ("extra", "none")]),
    ]
    assert setting_groups({}) == []


def test_lists_of_settings_read_as_text() -> None:
    groups = setting_groups({"practice": {"phases": [{"share": 0.5, "history": 1}, {"share": 0.25, "history": 10}]}})
    assert groups == [("practice", [("phases", "share 0.5, history 1; share 0.25, history 10")])]


def test_names_of_the_table_are_explained() -> None:
    listwise = "hybrid LLaRA (listwise; its weight is 0: this is sasrec)"
    report = _evaluation("popularity", "sasrec", listwise, "hybrid LLaRA (answer)")
    kinds = model_kinds(replace(report, baseline="sasrec", comparisons={}))
    assert [name for name, _ in kinds] == ["popularity", "sasrec", "hybrid LLaRA", "(listwise)", "(answer)"]


def test_what_the_score_is_made_of_stands_below_the_table(html: str) -> None:
    weighed = render_report(replace(_content(), weighing="1.45 × this + 0.66 × <that>."))
    said = weighed.index("1.45 × this + 0.66 × &lt;that&gt;.")
    assert weighed.index("</table>") < said < weighed.index('id="reading"')
    assert "made of" not in html


def test_an_invalid_answer_cannot_be_correct() -> None:
    with pytest.raises(DataError, match="cannot be correct"):
        Choice(None, True)
