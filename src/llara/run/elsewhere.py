"""Work in another process while this one goes on: on a CPU, halves of the threads do more than the whole."""

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
from transformers.utils import logging as transformers_logging

from llara.errors import LlaraError
from llara.run.events import LineListener, Listener

logger = logging.getLogger(__name__)

T = TypeVar("T")
Log: TypeAlias = "Queue[logging.LogRecord]"  # Queue takes no type while the program runs
Work: TypeAlias = Callable[[Any, Listener], T]


def can_split() -> bool:
    """Whether there are threads for two processes; on a GPU both would wait for the same device."""
    return torch.get_num_threads() >= 2 and not torch.cuda.is_available()


@contextmanager
def elsewhere(work: Work[T], argument: object, *, what: str) -> Iterator[Callable[[], T]]:
    """Do something in another process, with half of the threads, while the block runs with the other half.

    What the other process logs, and its progress, appears in this one's log.

    Args:
        work: A function of a module, called with `argument` and a listener there; both travel pickled.
        argument: What it works on.
        what: What it does, in words, for the message if its process dies.

    Yields:
        A function that waits for the result. It raises what `work` raised, if that is an LlaraError.
    """
    threads = torch.get_num_threads()
    context = multiprocessing.get_context("spawn")
    log: Log = context.Queue()
    answers, sender = context.Pipe(duplex=False)
    listener = QueueListener(log, *logging.getLogger().handlers)
    process = context.Process(target=_work, args=(work, argument, threads // 2, log, sender), daemon=True)
    listener.start()
    process.start()
    sender.close()  # so that reading ends when the process does
    torch.set_num_threads(threads - threads // 2)
    try:
        yield lambda: _received(process, answers, what)
    finally:
        torch.set_num_threads(threads)
        process.terminate()
        process.join()
        listener.stop()


@contextmanager
def quiet_worker(log: Path) -> Iterator[Listener]:
    """In a worker process: what a block says and how it goes on is appended to a file; yields its listener."""
    handler = logging.FileHandler(log, encoding="utf-8")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", handlers=[handler], force=True)
    logging.getLogger("llara").setLevel(logging.INFO)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield LineListener(logger.info)
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _received(process: BaseProcess, answers: Connection, what: str) -> Any:  # noqa: ANN401 - what the work returns
    try:
        answer = answers.recv()
    except EOFError:
        process.join()
        raise LlaraError(
            f"the process for {what} ended with code {process.exitcode}, probably for lack of memory. Try again with "
            "OMP_NUM_THREADS=1, which does one after the other."
        ) from None
    process.join()  # what it logged last is here then
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _work(work: Work[T], argument: object, threads: int, log: Log, answers: Connection) -> None:
    """What the other process does: work, and send the result, or the reason why there is none."""
    torch.set_num_threads(threads)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[QueueHandler(log)], force=True)
    logging.getLogger("llara").setLevel(logging.INFO)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        answers.send(work(argument, LineListener(logger.info)))
    except KeyboardInterrupt:
        answers.close()  # the other process was interrupted as well, and says so
    except LlaraError as error:
        answers.send(error)
