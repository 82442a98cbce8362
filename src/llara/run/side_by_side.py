"""Two runs at once: on a CPU two trainings with half of the threads each finish sooner than one after the other."""

import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import TypeAlias

import torch
from transformers.utils import logging as transformers_logging

from llara.errors import LlaraError
from llara.run.config import RunConfig
from llara.run.events import LineListener, Listener, Notice, ignore
from llara.run.pipeline import FinishedRun, train_run

logger = logging.getLogger(__name__)

Log: TypeAlias = "Queue[logging.LogRecord]"  # Queue takes no type while the program runs


def train_both(
    first: RunConfig, second: RunConfig, *, start: Path, listener: Listener = ignore
) -> tuple[FinishedRun, FinishedRun]:
    """Train two runs from the same start, replacing earlier runs there: at once where there are threads for both.

    The first one trains in a process of its own, without a progress bar; its progress is logged here. On one thread, or
    where both would share a GPU, the second waits for the first.

    Args:
        first: Its output is not the other's.
        second: Trained in this process.
        start: From `make_start`.
        listener: Told of the progress of the runs in this process.

    Raises:
        LlaraError: Whatever either run is refused for, or if the other process dies.
    """
    threads = torch.get_num_threads()
    if threads < 2 or torch.cuda.is_available():
        one, other = (train_run(run, start=start, force=True, listener=listener) for run in (first, second))
        return one, other
    with _training_elsewhere(first, start, threads=threads // 2) as (process, answers):
        torch.set_num_threads(threads - threads // 2)
        try:
            finished = train_run(second, start=start, force=True, listener=listener)
            if not answers.poll():
                listener(Notice(f"waiting for {Path(first.output).name}"))
            return _received(process, answers, first), finished
        finally:
            torch.set_num_threads(threads)


@contextmanager
def _training_elsewhere(config: RunConfig, start: Path, *, threads: int) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that trains while the block runs, and the connection on which its result comes."""
    context = multiprocessing.get_context("spawn")
    log: Log = context.Queue()
    answers, sender = context.Pipe(duplex=False)
    listener = QueueListener(log, *logging.getLogger().handlers)
    process = context.Process(target=_train_elsewhere, args=(config, start, threads, log, sender), daemon=True)
    listener.start()
    process.start()
    sender.close()  # so that reading ends when the process does
    try:
        yield process, answers
    finally:
        process.terminate()
        process.join()
        listener.stop()


def _received(process: BaseProcess, answers: Connection, config: RunConfig) -> FinishedRun:
    try:
        answer = answers.recv()
    except EOFError:
        process.join()
        raise LlaraError(
            f"the process that trained {config.output} ended with code {process.exitcode}, probably for lack of "
            "memory. Try again with OMP_NUM_THREADS=1, which trains one after the other."
        ) from None
    process.join()  # what it logged last is here then
    if isinstance(answer, BaseException):
        raise answer
    found: FinishedRun = answer
    return found


def _train_elsewhere(config: RunConfig, start: Path, threads: int, log: Log, answers: Connection) -> None:
    """What the other process does: train, and send the finished run, or the reason why there is none."""
    torch.set_num_threads(threads)
    logging.basicConfig(level=logging.WARNING, handlers=[QueueHandler(log)], force=True)
    logging.getLogger("llara").setLevel(logging.INFO)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        answers.send(train_run(config, start=start, force=True, listener=LineListener(logger.info)))
    except KeyboardInterrupt:
        answers.close()  # the other process was interrupted as well, and says so
    except LlaraError as error:
        answers.send(error)
