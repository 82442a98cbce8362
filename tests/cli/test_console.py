import json
import logging
from pathlib import Path

import pytest

from llara.cli import console
from llara.cli.bars import showing_progress
from llara.cli.showing import show_recommendations
from llara.errors import ConfigError
from llara.model import Recommendation
from llara.run.events import stage
from llara.run.folder import RunFolder, explain_refusal, open_run
from llara.run.recommending import Ranking


def test_said_text_keeps_brackets_and_long_paths_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/data/" + "x" * 200 + "/[red]/run"
    console.say(f"report  {path}")
    shown = capsys.readouterr()
    assert shown.err == f"report  {path}\n"
    assert shown.out == ""


def test_json_is_one_line_that_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"title": "Amélie", "path": Path("x/y")})
    shown = capsys.readouterr().out
    assert shown == '{"title": "Amélie", "path": "x/y"}\n'
    assert json.loads(shown)["path"] == "x/y"


def test_log_lines_go_to_stderr_from_info_up(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.handlers[:], logging.root.level
    try:
        console.setup_logging()
        logging.getLogger("llara.somewhere").info("epoch 1 [draft]")
        logging.getLogger("llara.somewhere").debug("detail")
        logging.getLogger("elsewhere").info("chatter")
    finally:
        logging.root.handlers[:], level = before
        logging.root.setLevel(level)
        logging.getLogger("llara").setLevel(logging.NOTSET)
    shown = capsys.readouterr()
    assert "epoch 1 [draft]" in shown.err
    assert "detail" not in shown.err
    assert "chatter" not in shown.err
    assert shown.out == ""


def test_a_stage_is_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with showing_progress() as listener, stage(listener, "training", 3) as advance:
        advance(2, "loss 1.0")
        advance(1)
        advance.outcome = "best validation HR@1 0.5"
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "training: best validation HR@1 0.5, 0 s\n")


def test_long_log_lines_are_not_wrapped_inside_what_they_quote(capsys: pytest.CaptureFixture[str]) -> None:
    command = "llara data check " + "/long/path" * 30
    before = logging.root.handlers[:], logging.root.level
    try:
        console.setup_logging()
        logging.getLogger("llara.somewhere").warning("see `%s`", command)
    finally:
        logging.root.handlers[:], level = before
        logging.root.setLevel(level)
        logging.getLogger("llara").setLevel(logging.NOTSET)
    assert capsys.readouterr().err == f"WARNING: see `{command}`\n"


@pytest.mark.parametrize("title", ["[bold]Dune[/bold]", "[/nothing]", "Alien [1979]"])
def test_titles_are_shown_as_they_are(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    items = (Recommendation(rank=1, item_id="a", title=title, score=0.5, retrieval_rank=3),)
    show_recommendations(Ranking((("b", title),), items))
    shown = capsys.readouterr().out
    assert shown.count(title) == 2
    assert "#3" in shown


def test_run_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = pytest.raises(ConfigError, match=r"cannot create .*Choose a folder that you may write to")
    with refused, open_run(str(tmp_path / "file" / "run"), resume=False, force=False):
        pass


def test_errors_that_are_not_about_the_disk_pass_through(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", tmp_path / "run.partial")
    with pytest.raises(FileNotFoundError), explain_refusal(run):
        raise FileNotFoundError(2, "our own fault", "nothing.json")
