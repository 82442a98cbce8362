"""`Run`: everything that the command line does with a run, from Python and without a terminal."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from llara.model import Llara
from llara.run.arguments import require_one_history, require_run_folder
from llara.run.config import RunConfig, load_config
from llara.run.events import Listener, ignore
from llara.run.folder import read_config, read_history, read_manifest
from llara.run.pipeline import FinishedRun, train_run
from llara.run.recommending import Ranking, rank_catalog
from llara.run.reevaluation import Reevaluated, reevaluate


class Run:
    """A finished run: its folder, settings and model.

    Make one with `Run.train`, or open one with `Run.open`. The model is loaded when it is first needed.

    Args:
        folder: A run folder.

    Raises:
        CheckpointError: If it is none.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        """Where it is."""
        require_run_folder(self.folder)
        self.config = read_config(self.folder)
        """All settings that it was trained with."""
        self.finished: FinishedRun | None = None
        """What training measured, where this run has just been trained; None where it was opened."""

    @classmethod
    def open(cls, folder: Path | str) -> "Run":
        """A run that `Run.train` or `llara train` has finished.

        Raises:
            CheckpointError: If the folder is no finished run.
        """
        return cls(folder)

    @classmethod
    def train(
        cls,
        config: RunConfig | Path | str,
        *,
        overrides: Sequence[str] = (),
        resume: bool = False,
        force: bool = False,
        listener: Listener = ignore,
    ) -> "Run":
        """Train the recommender, then LLaRA, then evaluate, into the run folder that the settings name.

        Args:
            config: Settings, or the YAML file that holds them.
            overrides: Settings to change in a YAML file, such as `train.epochs=2`.
            resume: Continue the interrupted run of the same output.
            force: Replace an existing run.
            listener: Told of progress, see `llara.run.events`.

        Raises:
            LlaraError: For anything wrong with settings, data or folders; before work starts where that can be known.
        """
        settings = config if isinstance(config, RunConfig) else load_config(Path(config), overrides)
        finished = train_run(settings, resume=resume, force=force, listener=listener)
        run = cls(finished.folder)
        run.finished = finished
        return run

    @cached_property
    def llara(self) -> Llara:
        """The trained model, on the GPU if there is one.

        Raises:
            CheckpointError: If a part is missing or damaged.
        """
        return Llara.from_pretrained(self.folder)

    @property
    def manifest(self) -> dict[str, Any]:
        """What it was made from and with, and the seconds of its stages.

        Raises:
            CheckpointError: If it is missing or damaged.
        """
        return read_manifest(self.folder)

    def evaluate(
        self,
        *,
        task: str = "sequential",
        part: str = "test",
        rows: str = "last",
        scorer: str = "all",
        draws: int | None = None,
        against: Sequence[Path] = (),
        data: Path | None = None,
        output: Path | None = None,
        force: bool = False,
        allow_leaks: Sequence[str] = (),
        listener: Listener = ignore,
    ) -> Reevaluated:
        """Rank candidates again, into a folder of its own; the run itself is not changed.

        Args:
            task: What is asked, see `llara.evaluate.TASKS`.
            part: Rows to rank: test or validation.
            rows: last: one row per user; dense: every position of those users.
            scorer: all (what was trained, and free generation), auto (the default), or one of
                `llara.evaluate.SCORERS`.
            draws: Candidate draws; None: as in training.
            against: Other runs to show beside, judged on the same candidates.
            data: Dataset folder, if it has moved since training.
            output: Where results go; None: `evaluations/` in the run folder.
            force: Replace an earlier evaluation there.
            allow_leaks: Leak checks that may fail.
            listener: Told of progress.

        Raises:
            ConfigError: If an argument is unknown or the output exists.
            DataError: If the data is not what the runs were trained on, or leaks in a way that is not allowed.
        """
        return reevaluate(
            self.folder,
            task=task,
            part=part,
            rows=rows,
            scorer=scorer,
            draws=draws,
            against=against,
            data=data,
            output=output,
            force=force,
            allow_leaks=allow_leaks,
            listener=listener,
        )

    def recommend(
        self,
        *,
        user: int | str | None = None,
        history: Sequence[int | str] | None = None,
        k: int = 10,
        num_retrieved: int = 50,
    ) -> Ranking:
        """Rank the unseen part of the catalog for a known user or for a history.

        Args:
            user: A user of the training data.
            history: Item ids, oldest first.
            k: Length of the list.
            num_retrieved: Items that the recommender retrieves for LLaRA to rank.

        Raises:
            ConfigError: Unless exactly one of `user` and `history` is given.
            DataError: If the user or an item is unknown, or the history is empty.
        """
        require_one_history(user=user, history=history)
        if history is None:
            history = read_history(self.folder, str(user))
        return rank_catalog(
            self.llara, history, k=k, num_retrieved=num_retrieved, history_length=self.config.data.split.history_length
        )
