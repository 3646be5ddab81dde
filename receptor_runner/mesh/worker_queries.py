"""Questions to a worker on another node, each a small work unit of its own: does a job live, what does it do, what is
the node? And the wish to end what a job does for one host.

Rules: the unit is released whatever comes, and every question has a deadline. The worktype must have
``allowruntimeparams``."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import time
from collections.abc import Callable
from typing import TypeVar

import yaml

from ..errors import ReceptorRunnerError, UnreachableError
from ..inspection.answers import LONGEST_ANSWER, Ending, Inspection, read_ending, read_inspection
from ..limits import SLOW_CONTROL_SECONDS
from ..receptor.address import Address
from ..receptor.control_protocol import CommandError
from ..receptor.work_unit import PENDING, RUNNING
from ..records.record import Route
from ..records.state_dir import owner
from ..stream.bounded_json import parse_json
from ..stream.messages import JSONObject
from .endpoint import connect
from .units import JOB_TAG, OWNER_TAG, UnitHandle
from .waiting import sleep

__all__ = [
    "ask_inspection", "ask_to_end", "ask_worker_info", "probe", "read_head", "read_probe", "read_worker_info",
]  # fmt: skip

logger = logging.getLogger(__name__)

T = TypeVar("T")
_ANSWER_SECONDS = 20.0
#: How long its id at its node may take to be known here.
_FAR_SECONDS = 3.0
_LOOK_SECONDS = 0.02
#: A kill takes its time.
_ENDING_SECONDS = 60.0
#: What is told of an answer that is not understood, in bytes.
_LONGEST_TOLD = 16 * 1024
_LARGEST_NUMBER = 2**63
#: What a node tells, and of what type.
_TOLD: dict[str, tuple[type, ...]] = {
    "runner_version": (str,),
    "cpu_count": (int, float),
    "time": (int, float),
    "disk_free_in_bytes": (int,),
    "mem_in_bytes": (int,),
    "uuid": (str,),
    "version": (str,),
    "python_version": (str,),
    "ansible_core_version": (str,),
    "seal_key": (str,),
    "seals_in_memory": (bool,),
}
_LISTS = ("errors", "container_engines", "stream_extensions", "archive_formats")


async def probe(address: Address, route: Route, far_unit: str) -> bool | None:
    """Whether anything works on ``far_unit`` at its node; None if that cannot be told.

    The worker that is asked looks for the process (:mod:`receptor_runner.receptor.unit_probe`).
    """
    try:
        return await _ask(address, route, f"probe {far_unit}", read_probe)
    except ReceptorRunnerError as exc:
        logger.info("cannot probe the unit %s on %s: %s", far_unit, route.node, exc)
        return None


async def ask_worker_info(address: Address, route: Route) -> JSONObject:
    """What ``worker --worker-info`` tells on a node: ours, or ansible-runner's.

    :raises UnreachableError: it does not answer, or something else than that.
    """
    return await _ask(address, route, "--worker-info", read_worker_info)


async def ask_inspection(address: Address, route: Route, far_unit: str) -> Inspection:
    """What the node knows about the job of ``far_unit``.

    :raises UnreachableError: it does not answer, or its worker is none of this version.
    """
    return await _ask(address, route, f"inspect {shlex.quote(far_unit)}", read_inspection, longest=LONGEST_ANSWER)


async def ask_to_end(address: Address, route: Route, far_unit: str, host: str) -> Ending:
    """What became of the wish to end what the job of ``far_unit`` does for ``host``.

    :raises UnreachableError: the node does not answer, or its worker is none of this version.
    """
    params = f"kill -- {shlex.quote(far_unit)} {shlex.quote(host)}"
    return await _ask(address, route, params, read_ending, seconds=_ENDING_SECONDS)


async def _ask(
    address: Address,
    route: Route,
    params: str,
    understand: Callable[[bytes], T | None],
    *,
    seconds: float = _ANSWER_SECONDS,
    longest: int = _LONGEST_TOLD,
) -> T:
    """What ``understand`` makes of the answer.

    :raises UnreachableError: it makes nothing of it, however long one waits.
    """
    with await connect(address) as connection:
        unit = await connection.create_unit(
            node="localhost" if route.local else route.node,
            worktype=route.worktype,
            tlsclient=route.tlsclient,
            signwork="true" if route.signwork else None,
            params=params,
            **{JOB_TAG: params.split(maxsplit=1)[0], OWNER_TAG: owner()},
        )
        try:
            connection.half_close()
            await connection.readline(SLOW_CONTROL_SECONDS)
            handle = UnitHandle(address, unit)
            answer = await read_head(handle, route, seconds, lambda head: understand(head) is not None, longest)
            understood = understand(answer)
            if understood is None:
                raise _misunderstood(route, answer, await _last_words(handle))
            return understood
        finally:
            await _release(UnitHandle(address, unit, undisturbed=True))


async def read_head(
    handle: UnitHandle, route: Route, seconds: float, enough: Callable[[bytes], bool], longest: int
) -> bytes:
    """What the worker says. The node that we are connected to has it a second or two later than the node itself, which
    is read where the mesh allows that.
    """
    if route.direct:
        try:
            there = await _far(handle, route)
            if there is not None:
                return await there.head(seconds, enough, longest)
        except (ReceptorRunnerError, OSError) as exc:
            logger.info("%s cannot be read directly: %s", route.node, exc)
    return await handle.head(seconds, enough, longest)


async def _far(handle: UnitHandle, route: Route) -> UnitHandle | None:
    """The unit at the node that runs it; None if that is not known soon."""
    until = time.monotonic() + _FAR_SECONDS
    while time.monotonic() < until:
        far = (await handle.status()).remote("RemoteUnitID")
        if far:
            address = dataclasses.replace(handle.address, through=route.node, through_tls=route.tlsclient)
            return UnitHandle(address, str(far))
        await sleep(_LOOK_SECONDS)
    return None


async def _last_words(handle: UnitHandle) -> str:
    """What Receptor says of a unit that has ended, or is about to. Here that is known later than at its node."""
    until = time.monotonic() + _FAR_SECONDS
    while True:
        status = await handle.status()
        if status.state not in (PENDING, RUNNING) or time.monotonic() > until:
            return status.detail
        await sleep(_LOOK_SECONDS)


def _misunderstood(route: Route, answer: bytes, detail: str) -> UnreachableError:
    """What the worktype said instead, or why it said nothing."""
    lines = answer[-_LONGEST_TOLD:].decode("utf-8", "replace").strip().splitlines()
    why = f"it says {lines[-1][:200]!r}" if lines else detail or "it says nothing"
    return UnreachableError(f"{route.node} does not tell about itself: {route.worktype} is no worker ({why})")


async def _release(handle: UnitHandle) -> None:
    """Releases the unit. One that has not reached its node yet cannot be released well; then it is forgotten here."""
    try:
        await handle.release()
    except CommandError:
        await handle.release(force=True)


def read_probe(answer: bytes) -> bool | None:
    """What a probe answers; None if this is no answer."""
    try:
        alive = parse_json(answer)["alive"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return alive if isinstance(alive, bool) else None


def _is_plain(value: object) -> bool:
    """Whether a number can be reckoned with."""
    return isinstance(value, str) or (isinstance(value, (int, float)) and abs(value) < _LARGEST_NUMBER)


def read_worker_info(answer: bytes) -> JSONObject | None:
    """The known keys of the answer that have their own type, because the answer is a stranger's. Only whole lines
    count: a part of YAML may be YAML.
    """
    if not answer.endswith(b"\n"):
        return None
    try:
        found = yaml.safe_load(answer)
    except Exception:  # PyYAML raises more than its own errors for what looks like a date or a number
        return None
    if not isinstance(found, dict) or "cpu_count" not in found:
        return None
    info: JSONObject = {
        name: found[name]
        for name, types in _TOLD.items()
        if isinstance(found.get(name), types) and _is_plain(found[name])
    }
    for name in _LISTS:
        if isinstance(found.get(name), list):
            info[name] = [str(one) for one in found[name] if isinstance(one, (str, int, float))]
    if isinstance(found.get("store"), dict):
        info["store"] = {
            name: one for name, one in found["store"].items() if isinstance(one, (str, int)) and _is_plain(one)
        }
    return info
