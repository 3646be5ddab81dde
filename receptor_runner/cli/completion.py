"""The command ``completion``, and what is completed.

Rules: nothing is started, nothing is written, and a mesh that does not answer within 0.3 s is as none. A completion
that fails completes nothing, and never says why."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import CompletionItem, get_completion_class

from .context import COMPLETION
from .help import Command

if TYPE_CHECKING:
    from ..mesh.route import NodeStatus

__all__ = ["completion", "directories", "jobs", "meshes", "nodes", "playbooks", "worktypes"]

T = TypeVar("T")

_MESH_SECONDS = 0.3
#: How deep playbooks are looked for in a project, and how many files are looked at.
_DEPTH, _MOST = 3, 2000
_HARMLESS = re.compile(r"[A-Za-z0-9_./:@%+,-]+")
_NO_PLAYBOOKS = ("roles", "tasks", "vars", "group_vars", "host_vars", "templates", "files", "collections")


@click.command(
    cls=Command,
    examples=(
        "receptor-runner completion bash > ~/.local/share/bash-completion/completions/receptor-runner",
        "receptor-runner completion fish > ~/.config/fish/completions/receptor-runner.fish",
        "source <(receptor-runner completion zsh)",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print what a shell needs to complete our command lines.

    Directories, playbooks, jobs, nodes and worktypes are completed, too.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "receptor-runner", COMPLETION).source())
    return 0


def directories(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="dir")]


def playbooks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Those of DIR, if it is on the line already. Behind an option without its value, click leaves it in ``args``."""
    directory = ctx.params.get("directory") or next(iter(ctx.args), ".")
    project = os.path.join(directory, "project")
    return _beginning(_yaml_files(project), incomplete)


def jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from ..records.state_dir import jobs_directory
    from ..records.store import Records

    if os.sep in incomplete:
        return [CompletionItem(incomplete, type="dir")]  # an artifact directory
    return _beginning(_quietly(lambda: Records(jobs_directory()).ids()), incomplete)


def nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _beginning((node.node for node in _offered(ctx)), incomplete)


def worktypes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Those of the node, if it is on the line already."""
    wanted = ctx.params.get("node")
    offered = [node.worktypes or {} for node in _offered(ctx) if wanted in (None, node.node)]
    return _beginning({name for one in offered for name in one}, incomplete)


def meshes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from .config_file import configuration

    return _beginning(_quietly(lambda: list(configuration().meshes)), incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Names of strangers go into a shell's line: those that mean more than themselves there are left out."""
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete) and _HARMLESS.fullmatch(name)]


def _yaml_files(project: str) -> list[str]:
    found: list[str] = []
    seen = 0
    for directory, below, files in os.walk(project):
        relative = os.path.relpath(directory, project)
        depth = 0 if relative == "." else relative.count(os.sep) + 1
        below[:] = sorted(name for name in below if depth < _DEPTH and name not in _NO_PLAYBOOKS and name[0] != ".")
        seen += len(files)
        if seen > _MOST:
            break
        found += [os.path.normpath(os.path.join(relative, name)) for name in files if name.endswith((".yml", ".yaml"))]
    return found


def _offered(ctx: click.Context) -> list[NodeStatus]:
    """The nodes of the mesh that the line names so far."""
    from ..mesh import client as _loaded_before_the_time_counts  # noqa: F401
    from .config_file import configuration
    from .mesh_options import SocketOptions

    def ask() -> list[NodeStatus]:
        at = SocketOptions(**{name: ctx.params.get(name) for name in SocketOptions._fields})  # type: ignore[arg-type]
        default = configuration().defaults.get("mesh")
        if default is not None and not at.given and not at.mesh_name:
            at = at._replace(mesh_name=str(default.value))
        return at.resolved(ctx).mesh().status().nodes()

    answer: list[list[NodeStatus]] = []
    asking = threading.Thread(target=lambda: answer.append(_quietly(ask)), daemon=True)
    asking.start()
    asking.join(_MESH_SECONDS)
    return answer[0] if answer else []


def _quietly(find: Callable[[], list[T]]) -> list[T]:
    try:
        return find()
    except Exception:
        return []
