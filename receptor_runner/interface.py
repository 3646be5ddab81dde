"""The Python API in the shape of ``ansible_runner.interface``.

Rules: one dictionary of parameters serves every streamer, and a streamer ignores what is not for it. A stage is loaded
when it is asked for. Nothing is printed but a job's own output, and that only if not ``quiet``."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import UsageError
from .job.parameters import DEFAULTS, LOCAL, unknown_names
from .job.private_data import PrivateDataDir
from .job.runner_config import RunnerConfig
from .results.handlers import Handlers
from .results.printer import JSONPrinter, TextPrinter
from .results.sinks import EventSink
from .results.terminal import one_line
from .stream.endpoints import open_input, open_output
from .stream.status import ERROR
from .system.signals import StopFlag

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .job.typed import RunParameters
    from .stages.local import Runner
    from .stages.process import Processor
    from .stages.transmit import Transmitter
    from .stages.worker import Worker

__all__ = ["init_runner", "run", "run_async"]

logger = logging.getLogger(__name__)

#: The caller's functions; all but the first in the order of :class:`Handlers`.
_HANDLERS = ("cancel_callback", "event_handler", "status_handler", "artifacts_handler", "finished_callback")


def init_runner(**parameters: Any) -> Any:
    """What :func:`run` runs: an object with a method ``run``, which returns ``status`` and ``rc``."""
    if parameters.get("streamer"):
        return _Stage(parameters)
    for name in unknown_names(parameters):
        logger.warning("ignoring the unknown parameter %s", name)
    return _local(parameters)


class _Stage:
    """One stage, to be run. After that it has what its result has."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self._result: Any = None

    def run(self) -> tuple[str, int | None]:
        self._result = run(**self._parameters)
        return self._result.status, self._result.rc

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)


def run(**parameters: Unpack[RunParameters]) -> Any:
    """Runs a job, or one stage of it. Why a job ended as an ``error`` goes to standard error, unless it is quiet.

    :param streamer: ``transmit``, ``worker``, ``process``, or nothing for a local run.
    :param payload: of :meth:`receptor_runner.Mesh.payload`, for ``transmit`` and ``process``: only what the node lacks
        travels, and sealed.
    :param _input: a binary file object (``readline`` and ``read`` are enough); default: standard input.
    :param _output: a binary file object; default: standard output.
    :returns: an object with ``status`` and ``rc``: a :class:`~receptor_runner.stages.transmit.Transmitter`,
        :class:`~receptor_runner.stages.worker.Worker`, :class:`~receptor_runner.stages.process.Processor` or
        :class:`~receptor_runner.stages.local.Runner`.
    :raises ReceptorRunnerError: the stage could not begin; how a job ended is in the result.
    """
    streamer = parameters.get("streamer")
    if streamer == "transmit":
        return _transmit(parameters)
    for name in unknown_names(parameters):
        logger.warning("ignoring the unknown parameter %s", name)
    if streamer == "worker":
        return _work(parameters)
    if streamer == "process":
        return _told(_process(parameters), parameters)
    if streamer:
        raise UsageError(f"there is no streamer {streamer!r}; use transmit, worker or process")
    runner = _local(parameters)
    runner.run()
    return _told(runner, parameters)


def _told(result: Any, parameters: Mapping[str, Any]) -> Any:
    """``result``; if it is an error, it says why, as ansible-runner's exceptions do."""
    if result.status == ERROR and not parameters.get("quiet") and sys.stderr is not None:
        sys.stderr.write(f"receptor-runner: {one_line(str(result.explanation))}\n")
    return result


def run_async(**parameters: Unpack[RunParameters]) -> tuple[threading.Thread, Any]:
    """A local run in a thread of its own: the thread, started, and the
    :class:`~receptor_runner.stages.local.Runner`."""
    if parameters.get("streamer"):
        raise UsageError("run_async runs a job on this machine; give a streamer to run, in a thread of your own")
    runner = _local(parameters)

    def work() -> None:
        runner.run()
        _told(runner, parameters)

    thread = threading.Thread(target=work, name=f"receptor-runner-{runner.parameters.ident}", daemon=True)
    thread.start()
    return thread, runner


def _transmit(parameters: Mapping[str, Any]) -> Transmitter:
    """Without a private data dir, parameters that are data travel with an empty one."""
    from .stages.transmit import Transmitter

    given = parameters.get("private_data_dir")
    with contextlib.nullcontext(given) if given else tempfile.TemporaryDirectory() as directory:
        own = {**parameters, "private_data_dir": directory}
        payload = parameters.get("payload")
        job_format = payload.job_format(own) if payload is not None else None
        return Transmitter(own, job_format=job_format).run(open_output(parameters.get("_output")))


def _work(parameters: Mapping[str, Any]) -> Worker:
    from .stages.worker import Worker, WorkerOptions

    options = WorkerOptions(
        private_data_dir=parameters.get("private_data_dir"),
        keepalive=parameters.get("keepalive_seconds"),
        cancel_callback=parameters.get("cancel_callback"),
        defaults={name: value for name, value in parameters.items() if name in DEFAULTS},
    )
    with StopFlag() as flag:
        output = open_output(parameters.get("_output"))
        return Worker(open_input(parameters.get("_input"), flag, output), output, flag, options).run()


def _process(parameters: Mapping[str, Any]) -> Processor:
    from .stages.process import ProcessorOptions, artifact_dir, process

    private_data_dir = parameters.get("private_data_dir") or tempfile.mkdtemp(prefix="receptor-runner-")
    private_data = PrivateDataDir(private_data_dir)
    settings = parameters.get("settings")
    options = ProcessorOptions(
        artifact_dir=artifact_dir(private_data, parameters.get("artifact_dir"), parameters.get("ident")),
        private_data_dir=str(private_data.path),
        handlers=Handlers(*(parameters.get(name) for name in _HANDLERS[1:])),
        settings=settings if settings is not None else private_data.settings(),
        printer=_printer(parameters),
        cancel_callback=parameters.get("cancel_callback"),
        unseal=parameters["payload"].unsealer() if parameters.get("payload") is not None else None,
    )
    with StopFlag() as flag:
        return process(open_input(parameters.get("_input"), flag), flag, options)


def _local(parameters: Mapping[str, Any]) -> Runner:
    from .stages.local import Runner

    known = {name: value for name, value in parameters.items() if name in DEFAULTS or name in LOCAL}
    handlers = {name: known.pop(name, None) for name in _HANDLERS}
    return Runner(RunnerConfig(**known), printer=_printer(parameters), **handlers)


def _printer(parameters: Mapping[str, Any]) -> EventSink | None:
    """The job's output on standard output, as ``ansible_runner`` does unless it is told to be quiet."""
    if parameters.get("quiet") or parameters.get("suppress_ansible_output"):
        return None
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        return None
    if parameters.get("json_mode"):
        return JSONPrinter(binary, terminal=sys.stdout.isatty())
    return TextPrinter(binary, terminal=sys.stdout.isatty())
