"""The parameters of a job as types, for editors and type checkers.

Rules: data only; nothing is checked here. The names are those of :mod:`receptor_runner.job.parameters`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import IO, Any, TypeAlias, TypedDict

__all__ = ["JobParameters", "RunParameters"]

Source: TypeAlias = "str | Mapping[str, Any]"
Directory: TypeAlias = "str | os.PathLike[str]"
Texts: TypeAlias = "list[str] | tuple[str, ...]"


class _Shared(TypedDict, total=False):
    playbook: str | Mapping[str, Any] | list[Any] | None
    module: str | None
    module_args: str | None
    host_pattern: str | None
    role: str | None
    role_vars: Mapping[str, Any] | None
    role_skip_facts: bool
    hosts: str | None
    inventory: Source | list[Any] | None
    limit: str | None
    forks: int | str | None
    tags: str | None
    skip_tags: str | None
    verbosity: int | None
    binary: str | None
    cmdline: str | None
    extravars: Mapping[str, Any] | str | list[str] | None
    envvars: Mapping[str, str] | None
    passwords: Mapping[str, str] | None
    ssh_key: str | None
    settings: Mapping[str, Any] | None
    timeout: float | None
    host_cwd: str | None
    fact_cache: str | None
    fact_cache_type: str | None
    omit_event_data: bool
    only_failed_event_data: bool
    check_job_event_data: bool
    suppress_env_files: bool
    suppress_output_file: bool
    suppress_ansible_output: bool
    process_isolation: bool
    process_isolation_executable: str | None
    process_isolation_path: str | None
    process_isolation_hide_paths: Texts | None
    process_isolation_show_paths: Texts | None
    process_isolation_ro_paths: Texts | None
    directory_isolation_base_path: str | None
    container_image: str | None
    container_volume_mounts: Texts | None
    container_options: Texts | None
    container_workdir: str | None
    container_auth_data: Mapping[str, Any] | None
    project_dir: Directory | None
    artifact_dir: Directory | None
    roles_path: str | list[str] | None
    rotate_artifacts: int


class JobParameters(_Shared, total=False):
    """What :class:`receptor_runner.Job` takes beside its own arguments. Times are in seconds."""


class RunParameters(_Shared, total=False):
    """What :func:`receptor_runner.run` takes. Times are in seconds."""

    private_data_dir: Any
    ident: Any
    streamer: str | None
    quiet: bool
    json_mode: bool
    only_transmit_kwargs: bool
    keepalive_seconds: float | None
    debug: bool
    logfile: str | None
    ignore_logging: bool
    event_handler: Callable[[dict[str, Any]], object] | None
    status_handler: Callable[..., object] | None
    artifacts_handler: Callable[[str], object] | None
    cancel_callback: Callable[[], bool] | None
    finished_callback: Callable[[Any], object] | None
    payload: Any
    _input: IO[bytes] | Any
    _output: IO[bytes] | Any
