"""The command ``trust``: whose key seals jobs for a node."""

from __future__ import annotations

import base64

import click

from ..errors import RefusedError
from .mesh_options import SocketOptions, socket_options
from .options import bare_option, command, complete, log_options
from .output import complain, print_table, say

__all__ = ["trust"]


@command(
    examples=(
        "receptor-runner trust exec1 --fingerprint SHA256:...",
        "receptor-runner trust --list",
        "receptor-runner trust --forget exec1",
    ),
)
@click.argument("node", required=False, metavar="[NODE]", shell_complete=complete("nodes"))
@bare_option("--fingerprint", metavar="TEXT", help="What receptor-runner worker seal-key has printed on the node.")
@bare_option("--list", "listed", is_flag=True, help="Show the keys that are trusted.")
@bare_option("--forget", metavar="NODE", help="Trust the key of NODE no more.")
@socket_options
@log_options
def trust(node: str | None, fingerprint: str | None, listed: bool, forget: str | None, at: SocketOptions) -> int:
    """Trust the key of NODE: from now on jobs for it are sealed.

    The node is asked for its key. Compare the fingerprint with that on the node: whoever answers in the place of the
    node could open the jobs.
    """
    if sum((node is not None, listed, forget is not None)) != 1:
        raise click.UsageError("name a node, or give --list or --forget")
    from ..records.trusted_keys import TrustedKeys

    keys = TrustedKeys()
    if listed:
        print_table(("NODE", "FINGERPRINT"), [(one.node, one.fingerprint) for one in keys])
        return 0
    if forget is not None:
        if not keys.forget(forget):
            raise click.UsageError(f"no key of the node {forget} is trusted")
        return 0
    assert node is not None
    key = _key_of(node, at)
    name = at.mesh().status().own if node == "localhost" else node
    say(keys.trust(name, key, fingerprint).fingerprint)
    if fingerprint is None:
        complain(f"compare this with what is printed on {name} by: receptor-runner worker seal-key")
    return 0


def _key_of(node: str, at: SocketOptions) -> bytes:
    """:raises RefusedError: the node has none."""
    told = at.mesh().worker_info(node).get("seal_key")
    try:
        if told is not None:
            return base64.b64decode(str(told), validate=True)
    except ValueError:
        pass
    raise RefusedError(
        f"the node {node} has no key for sealed jobs",
        hint="make one there, as the user of the worker: receptor-runner worker seal-key",
    )
