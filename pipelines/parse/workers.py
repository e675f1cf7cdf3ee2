"""Videos of one machine parsed by several processes, each of which loads its networks once; a lost process loses no video."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from parsing.console import complain, open_standard_streams
from parsing.errors import InputError
from parsing.progress import Counter as Progress
from pipelines.command import describe, log_to_stderr
from pipelines.parse.manifest import Manifest, Record
from pipelines.parse.sources import Job

if TYPE_CHECKING:
    from pipelines.parse.config import PipelineConfig

MOST_TRIES = 2  # of a video whose worker was lost
MOST_STARTS = 3  # in a row, of workers that are to follow a lost one
END_S = 10.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class WorkerOptions:
    """What every worker needs to build its networks and to parse."""

    settings: PipelineConfig
    device: str
    debug: bool


@dataclass
class _Worker:
    """One process, the end of the pipe to it, and the video that it has."""

    process: BaseProcess
    pipe: Connection
    job: int | None = None
    is_ready: bool = False


def run_in_workers(jobs: Sequence[Job], options: WorkerOptions, num_workers: int, manifest: Manifest, quiet: bool) -> list[Record]:
    """Parse every source by `num_workers` processes; failures are named on stderr as they happen.

    A video whose worker was lost, by a signal or for want of memory, is tried once again. Where no other worker can be started
    in the place of a lost one, those that are left go on. Every outcome goes to the manifest at once.

    Raises:
        InputError: the networks cannot be built.
        RuntimeError: nor by a worker that ended without saying why.
    """
    with Pool(jobs, options, min(num_workers, len(jobs))) as pool, Progress("videos", len(jobs), quiet, unit="videos") as progress:
        found: dict[int, Record] = {}
        for number, record in pool.records():
            manifest.add(record)
            found[number] = record
            progress.advance()
    return [found[number] for number in range(len(jobs))]


class Pool:
    """Workers, and the videos that wait for one."""

    def __init__(self, jobs: Sequence[Job], options: WorkerOptions, num_workers: int) -> None:
        self.jobs, self.options, self.num_workers = jobs, options, num_workers
        self.waiting = deque(range(len(jobs)))
        self.tries: Counter[int] = Counter()
        self.was_ready = False  # any of them, so the networks can be built
        self.failed_starts: Counter[int] = Counter()  # in a row, by place
        self.workers: dict[int, _Worker] = {}  # by their place, which says what cores they have

    def __enter__(self) -> Pool:
        for place in range(self.num_workers):
            self._start(place)
        return self

    def __exit__(self, *failure: object) -> None:
        for worker in self.workers.values():
            if failure[0] is not None:
                worker.process.terminate()  # its blocks end, and with them its temporary files
            worker.pipe.close()  # it ends when it asks for its next video
        for worker in self.workers.values():
            worker.process.join(END_S)
            if worker.process.is_alive():
                worker.process.kill()

    def records(self) -> Iterator[tuple[int, Record]]:
        """The number of each video with its outcome, as they are done."""
        num_left = len(self.jobs)
        while num_left and self.workers:
            for worker in self.workers.values():
                if worker.is_ready and worker.job is None and self.waiting:
                    self._give(worker)
            ready = wait([worker.pipe for worker in self.workers.values()])
            for place, worker in [*self.workers.items()]:
                if worker.pipe not in ready:
                    continue
                for number, record in self._hear(place, worker):
                    num_left -= 1
                    yield number, record
        for number in self.waiting:
            yield number, self._failed(number, "no worker is left that could parse it")

    def _give(self, worker: _Worker) -> None:
        worker.job = self.waiting.popleft()
        self.tries[worker.job] += 1
        try:
            worker.pipe.send(self.jobs[worker.job])
        except OSError:
            return  # it is lost, which its end of the pipe tells next

    def _hear(self, place: int, worker: _Worker) -> Iterator[tuple[int, Record]]:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._lose(place, worker)
            return
        if kind == "ready":
            worker.is_ready = self.was_ready = True
            self.failed_starts[place] = 0
        elif kind != "done":
            if not self.was_ready:
                raise InputError(value) if kind == "refused" else RuntimeError(value)
            yield from self._lose(place, worker, value)
        else:
            number, worker.job = worker.job, None
            assert number is not None
            yield number, replace(value, tries=self.tries[number])

    def _lose(self, place: int, worker: _Worker, why: str = "") -> Iterator[tuple[int, Record]]:
        """Start another worker in the place of one that has gone, and give its video to the next one."""
        worker.process.join(END_S)
        worker.pipe.close()
        why = why or _end_of(worker.process)
        del self.workers[place]
        number = worker.job
        if not worker.is_ready:
            self._fail_to_start(place, why)
        elif number is not None and self.tries[number] < MOST_TRIES:
            complain(f"{self.jobs[number].source}: its worker ended ({why}); it is tried once again")
            self.waiting.appendleft(number)
        elif number is not None:
            yield number, self._failed(number, f"its worker ended {MOST_TRIES} times ({why})")
        if self.waiting and self.failed_starts[place] < MOST_STARTS:
            self._start(place)

    def _fail_to_start(self, place: int, why: str) -> None:
        """Raises RuntimeError: nothing says that the networks can be built at all."""
        message = f"a worker ended before its networks were loaded ({why})"
        if not self.was_ready:
            raise RuntimeError(message)
        complain(message)
        self.failed_starts[place] += 1

    def _failed(self, number: int, why: str) -> Record:
        error = f"{self.jobs[number].source}: {why}"
        complain(f"error: {error}")
        return Record.failed(self.jobs[number], error, self.tries[number])

    def _start(self, place: int) -> None:
        context = get_context("spawn")  # a fork would copy the state of threads
        ours, theirs = context.Pipe()
        cores = cores_of(place, self.num_workers)
        process = context.Process(target=_work, args=(theirs, self.options, cores), name=f"worker-{place}", daemon=True)
        with _environment({name: str(len(cores)) for name in _THREAD_VARIABLES}):
            process.start()
        theirs.close()
        self.workers[place] = _Worker(process, ours)


def cores_of(place: int, num_workers: int) -> list[int]:
    """The cores of one of several workers: an equal share for each, at least one."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(os.cpu_count() or 1)]
    share = max(1, len(cores) // num_workers)
    begin = place * share % len(cores)
    return cores[begin : begin + share]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """What a process that is started in this block finds in its environment."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_of(process: BaseProcess) -> str:
    code = process.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # most of the real-time ones have no name
        return f"signal {-code}"


def _work(pipe: Connection, options: WorkerOptions, cores: list[int]) -> None:
    """A worker's whole life: its networks, then one video after the other until nobody sends any."""
    open_standard_streams()
    log_to_stderr(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the one who started it ends it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)  # runtimes count the cores that they may use, and decoding counts, too
    with ExitStack() as stack:
        stack.callback(pipe.close)
        ask = _built(pipe, options, len(cores))
        if ask is None:
            return
        pipe.send(("ready", None))
        while True:
            try:
                job = pipe.recv()
            except (EOFError, OSError):
                return
            pipe.send(("done", ask(job)))


def _built(pipe: Connection, options: WorkerOptions, num_threads: int) -> Any:
    try:
        import torch

        from pipelines.parse.records import Recorder

        torch.set_num_threads(num_threads)
        return Recorder(options.settings, options.device, options.debug)
    except Exception as error:
        pipe.send(("refused" if isinstance(error, InputError) else "broken", describe(error)))
        return None
