"""A job to be submitted: a private data dir, and what to run of it.

Rules: read when it is made, so that a missing directory is an error before anything is started.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import uuid
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..job.parameters import DEFAULTS, check_ident, unknown_names
from ..job.place import Place
from ..job.private_data import PrivateDataDir
from ..job.runner_config import absolute
from ..job.secrets import known_secrets
from ..stages.transmit import Transmitter, TransmitterOptions
from ..stream.job_format import JobFormat
from ..stream.messages import Extension

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..job.typed import JobParameters

__all__ = ["Job"]


class Job:
    """What to run: a private data dir, and parameters by the names of ``ansible_runner.run``.

    :raises UsageError: a parameter has a name that none has.
    :param private_data_dir: a directory; artifacts are saved in its ``artifacts/IDENT``, or in ``artifact_dir``.
    :param ident: the name of the job; default: random.
    :param exclude: globs of what does not travel.
    :param collect: globs of files below the private data dir, by path or by name. Those that the job makes or changes
        come back into the artifact directory's ``collected``.
    :param extra_vars: texts as Ansible's ``-e`` takes them.
    :param in_place: it works in the private data dir itself; only for :meth:`Mesh.private`.
    :param typed: the parameters were typed on a command line; see
        :class:`~receptor_runner.stages.transmit.TransmitterOptions`.
    """

    def __init__(  # noqa: PLR0913 - options by keyword
        self,
        private_data_dir: str | os.PathLike[str],
        *,
        ident: str | None = None,
        exclude: tuple[str, ...] = (),
        collect: tuple[str, ...] = (),
        extra_vars: tuple[str, ...] = (),
        typed: bool = False,
        in_place: bool = False,
        **parameters: Unpack[JobParameters],
    ) -> None:
        for name in unknown_names(parameters):
            from difflib import get_close_matches

            meant = get_close_matches(name, DEFAULTS, 1)
            raise UsageError(f"a job has no parameter {name}" + (f"; did you mean {meant[0]}?" if meant else ""))
        self.private_data = PrivateDataDir.existing(private_data_dir)
        self.ident = check_ident(ident or uuid.uuid4().hex)
        self.parameters: dict[str, Any] = {
            **parameters,
            "private_data_dir": str(self.private_data.path),
            "ident": self.ident,
        }
        artifacts = os.path.abspath(parameters.get("artifact_dir") or self.private_data.artifacts)
        self.artifact_dir = os.path.join(artifacts, self.ident)
        self.settings = self.private_data.settings()
        self._exclude = exclude
        self._collect = collect
        self._extra_vars = extra_vars
        self._typed = typed
        #: Whether it works in its private data dir, on this machine, and nothing travels.
        self.in_place = in_place

    def __repr__(self) -> str:
        return f"<Job {self.ident}: {self.playbook} of {self.private_data.path}>"

    def renamed(self, ident: str) -> Job:
        """The same work under another name."""
        other = copy.copy(self)
        other.ident = check_ident(ident)
        other.parameters = {**self.parameters, "ident": other.ident}
        other.artifact_dir = os.path.join(os.path.dirname(self.artifact_dir), other.ident)
        return other

    @property
    def playbook(self) -> str:
        """What it runs, in a word: a playbook, or a module or role as on a command line."""
        for name, option in (("playbook", ""), ("module", "-m "), ("role", "-r ")):
            given = self.parameters.get(name)
            if given:
                return f"{option}{given}" if isinstance(given, str) else name
        return "args"

    def secrets(self) -> list[str]:
        """Its passwords and its key, as far as they are known here."""
        return known_secrets(str(self.private_data.path), self.parameters)

    def check(self) -> None:
        """:raises ReceptorRunnerError: it cannot be transmitted, and nothing need be started for it."""
        self.transmitter(Extension())

    def transmitter(self, extension: Extension, job_format: JobFormat | None = None) -> Transmitter:
        """The first stage for this job.

        :param job_format: one that the worker knows; default: one that every worker knows.
        :raises InputError: something that the job needs is missing.
        """
        if self.in_place:
            extension = dataclasses.replace(extension, place=self._place().to_json())
        options = TransmitterOptions(
            exclude=self._exclude,
            collect=self._collect,
            only_own_artifacts=True,
            extension=extension,
            extra_vars=self._extra_vars,
            typed=self._typed,
            in_place=self.in_place,
        )
        return Transmitter(self.parameters, options, job_format)

    def _place(self) -> Place:
        given = self.parameters.get("roles_path") or []
        roles = given.split(":") if isinstance(given, str) else given
        return Place(
            str(self.private_data.path),
            os.path.dirname(self.artifact_dir),
            absolute(self.parameters["project_dir"]) if self.parameters.get("project_dir") else "",
            ":".join(absolute(part) for part in roles if part),
        )
