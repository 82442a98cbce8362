"""Where training writes its numbers: metrics.jsonl and TensorBoard."""

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from llara.data import write_atomically
from llara.errors import CheckpointError

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"

Record = dict[str, float | int]


def read_metrics(folder: Path) -> list[Record]:
    """The records of a run, one per optimizer step; empty if there are none.

    A last line without its end is what an interruption left; it is no record.

    Raises:
        CheckpointError: If another line is not a record.
    """
    path = folder / METRICS_FILE
    if not path.is_file():
        return []
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise CheckpointError(
                f"{path} line {number}: expected one JSON object, found '{line[:60]}'. Remove the line."
            ) from error
    return records


def _write_records(path: Path, records: list[Record]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


class MetricsWriter:
    """Appends one record per step.

    Args:
        folder: Run folder; None writes nothing.
        start_step: First step that will be written; later records of an interrupted run are dropped.
    """

    def __init__(self, folder: Path | None, *, start_step: int) -> None:
        self._lines = None
        self._board = None
        if folder is None:
            return
        path = folder / METRICS_FILE
        kept = [record for record in read_metrics(folder) if record["step"] < start_step]
        write_atomically(path, lambda partial: _write_records(partial, kept))
        self._lines = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=start_step)

    def write(self, record: Record) -> None:
        """Append a record; it must hold `step`."""
        if self._lines is None or self._board is None:
            return
        self._lines.write(json.dumps(record) + "\n")
        self._lines.flush()
        for name, value in record.items():
            if name != "step":
                self._board.add_scalar(f"train/{name}", value, int(record["step"]))

    def close(self) -> None:
        """Flush and close both outputs."""
        if self._lines is not None and self._board is not None:
            self._lines.close()
            self._board.close()
