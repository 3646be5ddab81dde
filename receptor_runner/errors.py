"""The errors of this package, as one tree.

    ReceptorRunnerError                70  a fault of ours, or one that nothing more precise describes
    ├── UsageError                     64  the caller asked for something that makes no sense (ValueError)
    ├── InputError                     66  a private data dir, playbook or file is unreadable (ValueError)
    │   └── MissingError               66  it is not there (FileNotFoundError)
    ├── OutputError                    73  an artifact dir, a stream or a temporary directory cannot be written
    │   └── OutputClosedError          73  the reader of our output has gone
    ├── ProtocolError                  76  a stream says something that no stage says; carries the byte offset
    ├── TruncatedStreamError           76  a stream ended before its own end mark
    ├── ArchiveError                   76  an archive is damaged or refused
    ├── LimitError                     76  a stream has more than its reader was told to take
    ├── ConfigurationError             78  a job's parameters or settings cannot be used (ValueError)
    ├── UnreachableError               69  a mesh, daemon, node or worktype is not to be had, nor an engine or image
    │                                      (ConnectionError)
    ├── RefusedError                   77  a signature, TLS or a permission stands in the way
    ├── LostError                      74  what ran a job is gone, and its end will never be known
    ├── DetachedError                  75  the job goes on without us
    │   └── WaitTimeoutError           75  the time to wait for it is over (TimeoutError)
    └── Interrupted                   130  a signal or a cancel callback asked to stop

Rules: the text of an error is one line that says what is wrong, and where. What a user of the command line may type
stands in ``hint``, which only the command line shows. The exit status belongs to the class. A foreign error becomes
one of these where it appears, with ``from``. A module may derive a class of its own that says more. Errors are also of
the built-in kind that callers of ansible_runner catch, so an ``except`` for a built-in kind lets ours pass first."""

from __future__ import annotations

__all__ = [
    "SHORTAGES",
    "ArchiveError",
    "ConfigurationError",
    "DetachedError",
    "InputError",
    "Interrupted",
    "LimitError",
    "LostError",
    "MissingError",
    "OutputClosedError",
    "OutputError",
    "ProtocolError",
    "ReceptorRunnerError",
    "RefusedError",
    "TruncatedStreamError",
    "UnreachableError",
    "UsageError",
    "WaitTimeoutError",
    "exit_code_of",
    "reason_of",
]


class ReceptorRunnerError(Exception):
    """The root of the tree. ``exit_code`` is the status that a command ends with.

    :param hint: what to type on the command line, if there is something.
    """

    exit_code = 70

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ReceptorRunnerError, ValueError):
    exit_code = 64


class InputError(ReceptorRunnerError, ValueError):
    exit_code = 66


class MissingError(InputError, FileNotFoundError):
    pass


class OutputError(ReceptorRunnerError):
    exit_code = 73


class OutputClosedError(OutputError):
    pass


class ProtocolError(ReceptorRunnerError):
    """A stream is not what a stage writes. ``offset`` counts bytes from the beginning of the stream."""

    exit_code = 76

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} (byte {offset} of the stream)")
        self.offset = offset


class TruncatedStreamError(ReceptorRunnerError):
    exit_code = 76


class ArchiveError(ReceptorRunnerError):
    """``offset`` counts bytes from the beginning of the stream; None if what is wrong is in the archive itself."""

    exit_code = 76

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (byte {offset} of the stream)")
        self.offset = offset


class LimitError(ReceptorRunnerError):
    """``offset`` counts bytes from the beginning of the stream; None for an archive in it."""

    exit_code = 76

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"{message} (byte {offset} of the stream)")
        self.offset = offset


class ConfigurationError(ReceptorRunnerError, ValueError):
    exit_code = 78


class UnreachableError(ReceptorRunnerError, ConnectionError):
    exit_code = 69


class RefusedError(ReceptorRunnerError):
    exit_code = 77


class LostError(ReceptorRunnerError):
    exit_code = 74


class DetachedError(ReceptorRunnerError):
    """Nothing has ended but our following; ``attach`` goes on from here."""

    def __init__(self, message: str, exit_code: int = 75, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class WaitTimeoutError(DetachedError, TimeoutError):
    pass


class Interrupted(ReceptorRunnerError):
    exit_code = 130


#: What is raised when this machine is short of something: room, memory, descriptors, processes. Without memory, a
#: library cannot be loaded.
SHORTAGES = (OSError, MemoryError, ImportError)


def reason_of(shortage: BaseException) -> str:
    """What a shortage says of itself, without the file."""
    return getattr(shortage, "strerror", None) or str(shortage) or "there is no memory left"


def exit_code_of(exc: BaseException) -> int:
    """The status that a command ends with because of ``exc``: its own, that of a shortage here (no room, memory,
    descriptors or processes), or that of a fault of ours.
    """
    if isinstance(exc, ReceptorRunnerError):
        return exc.exit_code
    return OutputError.exit_code if isinstance(exc, SHORTAGES) else ReceptorRunnerError.exit_code
