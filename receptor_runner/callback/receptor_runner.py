"""Ansible callback plugin: tells the guard what happens, event by event, inside the output.

It runs in Ansible's interpreter, wherever that is. So it imports nothing but Ansible and the standard library, and
loads with Python 3.8 and ansible-core 2.13 as well as with the newest.

It also answers who asks, by a signal, what Ansible works on (``receptor_runner/inspection``).

Rules: the user's stdout callback stays what it is. Its methods and the methods of ``Display`` are put between two
frames each. Without a key there are no frames. Only the process that read the key writes frames, none of its forks. A
fault in here never costs the job more than the fields of one event. Ansible forks for each task. After a fork, each
page of memory that is written to, if only to count a reference, costs more than the work itself. So what every event
needs is made once. The frame's format is in ``receptor_runner/guard/event_carver.py``. The events' fields are those
that controllers know from ansible-runner."""

from __future__ import annotations

import atexit
import datetime
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
import uuid
from contextlib import suppress

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.executor.task_executor import TaskExecutor
from ansible.executor.task_queue_manager import TaskQueueManager
from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display

DOCUMENTATION = """
    name: receptor_runner
    type: notification
    short_description: Frames job events inside the output
    description:
      - Used by receptor-runner. Does nothing elsewhere.
"""

#: Asks Ansible what each of its processes works on; sent to such a process, it ends the task of its host. A number,
#: because what SIGRTMIN is differs between the C libraries of a container and of its node.
ASK_SIGNAL = 44
#: Where the answer is, beside the key.
ANSWER = "running"
ENDED = "receptor-runner kill ended this task for this host"

CENSORED = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"

try:
    from ansible._internal._errors._task_timeout import TaskTimeoutError
except ImportError:  # before ansible-core 2.19
    from ansible.executor.task_executor import TaskTimeoutError

try:
    from ansible.module_utils.secrets import mask_secrets
except ImportError:  # before ansible-core 2.22
    mask_secrets = None


def _max_result():
    """The variable is the one that users of ansible-runner know. What is no number is told by whoever started this."""
    try:
        return int(os.environ["MAX_EVENT_RES"])
    except (KeyError, ValueError):
        return 700000


#: A result that is longer than this as JSON is emptied.
MAX_RESULT = _max_result()
#: A result that is nested deeper than this is emptied, too.
MAX_DEPTH = 100
OMIT_DATA = os.environ.get("RUNNER_OMIT_EVENTS", "").lower() == "true"
ONLY_FAILED_DATA = os.environ.get("RUNNER_ONLY_FAILED_EVENTS", "").lower() == "true"
AD_HOC = bool(os.environ.get("AD_HOC_COMMAND_ID"))
FAILED_EVENTS = ("runner_on_failed", "runner_on_async_failed", "runner_on_item_failed")

#: ``Display`` methods and the event that text shown through them becomes.
DISPLAY_EVENTS = {
    "verbose": "verbose",
    "_verbose_display": "verbose",
    "debug": "debug",
    "deprecated": "deprecated",
    "_deprecated": "deprecated",
    "warning": "warning",
    "_warning": "warning",
    "error_as_warning": "warning",
    "system_warning": "system_warning",
    "error": "error",
    "_error": "error",
}


def _read_key():
    """The key of this run; whoever comes later finds none."""
    path = os.environ.get("RECEPTOR_RUNNER_KEY_FILE")
    if not path:
        return None
    try:
        with open(path, encoding="ascii") as file:
            key = bytes.fromhex(file.read())
        os.unlink(path)
    except (OSError, ValueError):
        return None
    return key or None


def _now():
    return datetime.datetime.now(datetime.timezone.utc)


def _plain(value):
    """What JSON does not know."""
    ciphertext = getattr(value, "_ciphertext", None)
    if ciphertext is not None:
        return {"__ansible_vault": ciphertext.decode() if isinstance(ciphertext, bytes) else str(ciphertext)}
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (set, frozenset)):
        return list(value)
    return str(value)


def _encoder():
    """``json.dumps`` that makes nothing anew but the text, where Python lets us have that."""
    try:
        encode = json.encoder.c_make_encoder(
            None, _plain, json.encoder.encode_basestring_ascii, None, ": ", ", ", False, True, True
        )
        encode({}, 0)
    except Exception:
        return json.JSONEncoder(default=_plain, skipkeys=True).encode
    return lambda value: "".join(encode(value, 0))


_dump = _encoder()


def _masked(value):
    """``value`` without the secrets that Ansible knows. It masks results itself, and nothing else."""
    if mask_secrets is None:
        return value
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {_masked(name): _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, (list, tuple)) else value


def _too_deep(text, result):
    """Whether ``result`` is nested deeper than readers of events take. Few brackets cannot be."""
    return text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(result, MAX_DEPTH)


def _is_deeper(value, levels):
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    return not levels or any(_is_deeper(one, levels - 1) for one in value)


class _Signer:
    """The first half of HMAC-SHA256 (RFC 2104), in hexadecimal. ``key`` has at most 64 bytes."""

    def __init__(self, key):
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, text):
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode("ascii"))
        outer.update(inner.digest())
        return outer.hexdigest()[:32]


class Frames:
    """Writes frames around what is shown. Threads take turns; a callback that shows text through Display stays one
    event.
    """

    def __init__(self, key):
        self._signer = _Signer(key)
        self._pid = os.getpid()
        #: The thread that is between two frames.
        self._owner = None
        self._kinds = threading.local()
        self._forks_show = not hasattr(Display, "set_queue")
        self._lock = multiprocessing.RLock() if self._forks_show else threading.RLock()
        shared = multiprocessing.Value("Q", 0, lock=False) if self._forks_show else None
        self._sequence = shared or types.SimpleNamespace(value=0)

    def quiet(self):
        """Whether what is shown now gets no frames of its own."""
        return self._owner == threading.get_ident() or self._in_fork()

    def _in_fork(self):
        """A fork writes no frames; before ansible-core 2.14 it shows things by itself, and takes its turn with all
        others.
        """
        return os.getpid() != self._pid and not self._forks_show

    def around(self, kind, build, show):
        """Returns what ``show()`` returns, with a frame before and after, and the JSON that ``build()`` returns in the
        first; nothing inside of another frame.
        """
        if self.quiet():
            return show()
        with self._lock:
            self._owner = threading.get_ident()
            try:
                return self._between_frames(kind, build, show)
            finally:
                self._owner = None

    def _between_frames(self, kind, build, show):
        _line_buffered(False)
        try:
            self._write(kind, build())
            return show()
        finally:
            self._write("c", "")
            _line_buffered(True)

    def showing(self, event, fields, show):
        """Returns what ``show()`` returns; text shown meanwhile becomes an event of this name. The outermost one
        decides.
        """
        if getattr(self._kinds, "current", None) is not None:
            return show()
        self._kinds.current = (event, fields)
        try:
            return show()
        finally:
            self._kinds.current = None

    def shown(self):
        return getattr(self._kinds, "current", None) or ("verbose", {})

    def _write(self, kind, body):
        if self._in_fork():
            return
        self._sequence.value += 1
        sequence, sign = self._sequence.value, self._signer.sign
        head = "%d;%s;%d" % (sequence, kind, len(body))
        tail = sign("body;%d;%s" % (sequence, body)) if body else ""
        sys.stdout.write("\x1b_rr;%s;%s;%s%s\x1b\\" % (head, sign("head;" + head), body, tail))


def _line_buffered(yes):
    """Between two frames output is held until the second, so that an event costs one write; either way all of it is
    written now.
    """
    sys.stderr.flush()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=yes)
    else:
        sys.stdout.flush()


class _Identifiers:
    """Identifiers for events: a random UUID whose last part counts, another one in each process."""

    def __init__(self):
        self._pid = None

    def next(self):
        if self._pid != os.getpid():
            self._pid, self._numbers = os.getpid(), itertools.count(1)
            self._head = str(uuid.uuid4())[:24]
        return "%s%012x" % (self._head, next(self._numbers))


class _TaskStarts:
    """Which event said that a task begins, for the events of its hosts. Ansible repeats the identifier of a task for
    each batch of hosts (serial), and for each host (free strategy).
    """

    def __init__(self):
        self._starts = {}
        self._claims = {}
        self._current = {}

    def begun(self, task, identifier):
        self._starts.setdefault(task, []).append([identifier, False])

    def host_begun(self, task, host):
        """A host takes the first start that no host has taken, or shares the last one."""
        starts = self._starts.get(task)
        if starts:
            start = next((one for one in starts if not one[1]), starts[-1])
            start[1] = True
            self._claims[task, host] = self._current[host] = start[0]

    def find(self, task, host=None):
        """None for a task that never began here. That of a host's asynchronous job is part of what the host does."""
        if host is not None:
            found = self._claims.get((task, host))
            if found is not None:
                return found
        starts = self._starts.get(task)
        return starts[-1][0] if starts else self._current.get(host)


class Events:
    """Builds events. Keeps what later events must repeat: playbook, play and task."""

    def __init__(self):
        self._identifiers = _Identifiers()
        self._playbook = {}
        self._play = {}
        self._task = {}
        self._contexts = {}
        self._started = {}
        self._seen = {}
        self._task_starts = _TaskStarts()
        self._head = '{"uuid": %s, "event": "%s", "pid": %d, "created": "%s"'
        for variable in ("JOB_ID", "AD_HOC_COMMAND_ID", "PROJECT_UPDATE_ID"):
            with suppress(ValueError):
                self._head += ', "%s": %d' % (variable.lower(), int(os.environ.get(variable, "")))

    def build(self, event, fields, task=None, verbosity=None):
        """One event as JSON."""
        context, ancestors = self._context(task)
        own = ancestors[0]
        ancestors = [own and (self._task_starts.find(own, fields.get("host")) or own), *ancestors[1:]]
        identifier = fields["uuid"] = fields.get("uuid") or self._identifiers.next()
        head = self._head % (_dump(identifier), event, os.getpid(), _now().isoformat())
        parent = next((one for one in ancestors if one and one != identifier), None)
        if parent is not None:
            head += ', "parent_uuid": ' + _dump(parent)
        if verbosity is not None:
            head += ', "verbosity": %d' % verbosity
        if OMIT_DATA or (ONLY_FAILED_DATA and event not in FAILED_EVENTS):
            return head + ', "event_data": {}}'
        text = self._joined(head, context, fields)
        if _too_deep(text, fields.get("res")):
            return self._joined(head, context, dict(fields, res={}))
        if len(text) > MAX_RESULT and event != "playbook_on_stats" and len(_dump(fields.get("res"))) > MAX_RESULT:
            text = self._joined(head, context, dict(fields, res={}))
        return text

    @staticmethod
    def _joined(head, context, fields):
        own = _dump({name: value if name == "res" else _masked(value) for name, value in fields.items()})
        return '%s, "event_data": {%s%s%s}}' % (head, context, ", " if context else "", own[1:-1])

    def _context(self, task):
        """What all events of a task repeat, as the inside of a JSON object, and the identifiers of task, play and
        playbook.
        """
        contexts, key = self._contexts, None if task is None else task._uuid
        found = contexts.get(key)
        if found is None:
            data = dict(self._playbook)
            data.update(self._play)
            data.update(self._task if task is None else self._task_fields(task))
            ancestors = [data.get(name) for name in ("task_uuid", "play_uuid", "playbook_uuid")]
            found = contexts[key] = _dump(_masked(data))[1:-1], ancestors
        return found

    def known_name(self, task):
        """The name of a task, masked, if an event has told it; else empty. Takes no lock."""
        found = self._contexts.get(task._uuid)
        return json.loads("{%s}" % found[0]).get("task", "") if found is not None else ""

    def _enter(self, **levels):
        """From now on the playbook, the play or the task is another one. What another thread has begun to tell of the
        one before is not kept.
        """
        for level, fields in levels.items():
            setattr(self, "_" + level, fields)
        self._contexts = {}

    def build_or_broken(self, event, *arguments, **named):
        """One event as JSON, whatever is in it."""
        try:
            return self.build(event, *arguments, **named)
        except Exception as exc:
            return self.broken(event, exc)

    def broken(self, event, problem):
        """What is left of an event that could not be built."""
        return _dump(
            {
                "uuid": self._identifiers.next(),
                "event": event,
                "pid": os.getpid(),
                "created": _now().isoformat(),
                "event_data": {"receptor_runner_error": repr(problem)},
            }
        )

    def _unique(self, identifier):
        """Ansible repeats identifiers of plays (serial) and tasks (free strategy): the second is ``…_2``."""
        count = self._seen[identifier] = self._seen.get(identifier, 0) + 1
        return identifier if count == 1 else "%s_%d" % (identifier, count)

    def _begin(self, task):
        """The identifier of a task that begins."""
        identifier = self._unique(str(task._uuid))
        self._task_starts.begun(str(task._uuid), identifier)
        return identifier

    @staticmethod
    def _task_fields(task):
        fields = {
            "task": task.name or task.action,
            "task_uuid": str(task._uuid),
            "task_action": task.action,
            "resolved_action": _resolved_action(task),
            "task_args": "",
        }
        with suppress(AttributeError):
            fields["task_path"] = task.get_path()
        if C.DISPLAY_ARGS_TO_STDOUT:
            args = ", ".join("%s=%s" % item for item in task.args.items())
            fields["task_args"] = CENSORED if task.no_log else args
        role = getattr(task, "_role", None)
        if role:
            fields["role"] = role._role_name
            resolved = role.get_name() if hasattr(role, "get_name") else role._role_name
            if resolved != role._role_name:
                fields["resolved_role"] = resolved
        return fields

    @staticmethod
    def _pattern(play):
        hosts = getattr(play, "hosts", "")
        return ",".join(hosts) if isinstance(hosts, list) else hosts

    # one method for each method of a stdout callback: the event's name, its fields, and its task if it has one of its
    # own

    def v2_playbook_on_start(self, playbook):
        identifier = self._identifiers.next()
        name = getattr(playbook, "_file_name", "???")
        self._enter(playbook={"playbook": name, "playbook_uuid": identifier}, play={}, task={})
        return "playbook_on_start", {"uuid": identifier}, None

    def v2_playbook_on_play_start(self, play):
        if AD_HOC:
            return None
        identifier = self._unique(str(play._uuid))
        pattern = self._pattern(play)
        name = play.get_name().strip() or pattern
        self._enter(play={"play": name, "play_uuid": identifier, "play_pattern": pattern}, task={})
        return "playbook_on_play_start", {"name": name, "pattern": pattern, "uuid": identifier}, None

    def v2_playbook_on_task_start(self, task, is_conditional=False):
        self._enter(task=self._task_fields(task))
        if AD_HOC:
            return None
        fields = {"name": task.get_name(), "is_conditional": bool(is_conditional)}
        fields["uuid"] = self._begin(task)
        return "playbook_on_task_start", fields, None

    def v2_playbook_on_cleanup_task_start(self, task):
        return self.v2_playbook_on_handler_task_start(task)

    def v2_playbook_on_handler_task_start(self, task):
        self._enter(task=self._task_fields(task))
        fields = {"name": task.get_name(), "uuid": self._begin(task), "is_conditional": True}
        return "playbook_on_task_start", fields, None

    def v2_playbook_on_vars_prompt(
        self, varname, private=True, prompt=None, encrypt=None, confirm=False, *rest, **more
    ):
        names = ("salt_size", "salt", "default", "unsafe")
        fields = {"varname": varname, "private": private, "prompt": prompt, "encrypt": encrypt, "confirm": confirm}
        fields.update(dict.fromkeys(names), **dict(zip(names, rest)))
        fields.update({name: more[name] for name in names if name in more})
        return "playbook_on_vars_prompt", fields, None

    def v2_playbook_on_include(self, included_file):
        name = included_file._filename if included_file is not None else None
        return "playbook_on_include", {"included_file": name}, None

    def v2_playbook_on_import_for_host(self, result, imported_file):
        return "playbook_on_import_for_host", {}, None

    def v2_playbook_on_not_import_for_host(self, result, missing_file):
        return "playbook_on_not_import_for_host", {}, None

    def v2_playbook_on_no_hosts_matched(self):
        return "playbook_on_no_hosts_matched", {}, None

    def v2_playbook_on_no_hosts_remaining(self):
        return "playbook_on_no_hosts_remaining", {}, None

    def v2_playbook_on_notify(self, handler, host):
        return "playbook_on_notify", {"host": host.get_name(), "handler": handler.get_name()}, None

    def v2_playbook_on_stats(self, stats):
        self._enter(play={}, task={})
        names = ("changed", "dark", "failures", "ignored", "ok", "processed", "rescued", "skipped")
        fields = {name: getattr(stats, name, {}) for name in names}
        fields["artifact_data"] = getattr(stats, "custom", {}).get("_run", {})
        return "playbook_on_stats", fields, None

    def v2_runner_on_start(self, host, task):
        self._started[host.get_name()] = _now()
        self._task_starts.host_begun(str(task._uuid), host.get_name())
        return "runner_on_start", {"host": host.get_name()}, task

    def v2_runner_on_ok(self, result):
        return self._ended("runner_on_ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        return self._ended("runner_on_failed", result, ignore_errors=ignore_errors)

    def v2_runner_on_unreachable(self, result):
        name, fields, task = self._ended("runner_on_unreachable", result)
        del fields["event_loop"]
        return name, fields, task

    def v2_runner_on_skipped(self, result):
        name, fields, task = self._ended("runner_on_skipped", result)
        del fields["res"]
        return name, fields, task

    def _ended(self, name, result, **more):
        host, task = _part(result, "host"), _part(result, "task")
        start, end = self._started.get(host.get_name()), _now()
        fields = {
            "host": host.get_name(),
            "remote_addr": host.address,
            "res": _censored(_without_environment(_part(result, "result"))),
            "start": start.isoformat() if start else None,
            "end": end.isoformat() if start else None,
            "duration": (end - start).total_seconds() if start else None,
            "event_loop": getattr(task, "loop_with", None),
        }
        fields.update(more)
        return name, fields, task

    def v2_runner_on_no_hosts(self, task):
        return "runner_on_no_hosts", {}, task

    def v2_runner_on_async_poll(self, result):
        return self._with_job("runner_on_async_poll", result)

    def v2_runner_on_async_ok(self, result):
        return self._with_job("runner_on_async_ok", result)

    def v2_runner_on_async_failed(self, result):
        return self._with_job("runner_on_async_failed", result)

    def _with_job(self, name, result):
        name, fields, task = self._item(name, result)
        fields["jid"] = _part(result, "result").get("ansible_job_id")
        return name, fields, task

    def v2_on_file_diff(self, result):
        fields = {"host": _part(result, "host").get_name(), "diff": _part(result, "result").get("diff")}
        return "runner_on_file_diff", fields, _part(result, "task")

    def v2_runner_item_on_ok(self, result):
        return self._item("runner_item_on_ok", result)

    def v2_runner_item_on_failed(self, result):
        return self._item("runner_item_on_failed", result)

    def v2_runner_item_on_skipped(self, result):
        return self._item("runner_item_on_skipped", result)

    def v2_runner_retry(self, result):
        return self._item("runner_retry", result)

    @staticmethod
    def _item(name, result):
        fields = {
            "host": _part(result, "host").get_name(),
            "res": _censored(_without_environment(_part(result, "result"))),
        }
        return name, fields, _part(result, "task")


def _resolved_action(task):
    """The whole name of the action. A template has none before it is run, and Ansible warns whoever asks."""
    if "{{" in str(task.action) or "{%" in str(task.action):
        return task.action
    _muted.yes = True  # Ansible warns about us if there is no such action, and tells the user himself
    try:
        return getattr(task, "resolved_action", None) or task.action
    finally:
        _muted.yes = False


_muted = threading.local()


def _without_environment(result):
    """Takes the environment of the host, with all secrets in it, out of facts, before anything of it is shown."""
    items = result.get("results")
    for one in [result] + (items if isinstance(items, list) else []):
        facts = one.get("ansible_facts") if isinstance(one, dict) else None
        if isinstance(facts, dict):
            facts.pop("ansible_env", None)
    return result


def _part(result, name):
    """``host``, ``task`` or ``result`` of a task result: ansible-core 2.19 gave them public names."""
    return getattr(result, name) if hasattr(type(result), name) else getattr(result, "_" + name)


def _censored(result):
    if result.get("_ansible_no_log", False):
        return {"censored": CENSORED}
    items = result.get("results")
    if isinstance(items, list) and any(isinstance(item, dict) and item.get("_ansible_no_log") for item in items):
        result = dict(result)
        result["results"] = [
            {"censored": CENSORED} if isinstance(item, dict) and item.get("_ansible_no_log") else item for item in items
        ]
    return result


def _wrap_display(frames, events):
    """Text that is shown outside of callbacks becomes an event, too."""
    show = Display.display

    @functools.wraps(show)
    def display(self, *args, **kwargs):
        if frames.quiet():
            return show(self, *args, **kwargs)
        to_stderr = kwargs.get("stderr") or (len(args) > 2 and args[2])
        name, fields = frames.shown()
        data = {"remote_addr": fields["host"]} if fields.get("host") else {}

        def show_in_order():
            if to_stderr:
                sys.stdout.flush()  # the frame that was held, and all before it, come first
            return show(self, *args, **kwargs)

        verbosity = fields.get("verbosity")
        return frames.around("d", lambda: events.build_or_broken(name, data, verbosity=verbosity), show_in_order)

    Display.display = display
    for method, event in DISPLAY_EVENTS.items():
        if hasattr(Display, method) and not _is_idle(method):
            setattr(Display, method, _showing(frames, event, getattr(Display, method)))


def _is_idle(method):
    """Whether a method of ``Display`` shows nothing, or only through another one: Ansible calls these all the time."""
    return (method == "debug" and not getattr(C, "DEFAULT_DEBUG", True)) or (
        method == "verbose" and hasattr(Display, "_verbose_display")
    )


def _showing(frames, event, method):
    verbose = event == "verbose"

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        if event == "warning" and getattr(_muted, "yes", False):
            return None
        fields = {}
        if verbose:
            host = kwargs.get("host", args[1] if len(args) > 1 else None)
            caplevel = kwargs.get("caplevel", args[2] if len(args) > 2 else 2)
            fields = {"host": host, "verbosity": (2 if caplevel is None else caplevel) + 1}
        return frames.showing(event, fields, lambda: method(self, *args, **kwargs))

    return wrapper


def _wrap_callback(frames, events, callback):
    """Puts every method of the stdout callback that is an event between frames."""
    names = [name for name in dir(Events) if name.startswith("v2_")]
    for name in names:
        method = getattr(callback, name, None)
        if method is not None:
            setattr(callback, name, _framed(frames, events, name, method))
    implemented = getattr(callback, "_implemented_callback_methods", None)
    if implemented is not None:
        callback._implemented_callback_methods = frozenset(implemented).union(names)


def _framed(frames, events, name, method):
    describe = getattr(events, name)

    @functools.wraps(method)
    def wrapper(*args, **kwargs):
        try:
            described = describe(*args, **kwargs)
        except Exception as exc:  # a newer ansible-core: the job matters more than one event's fields
            build = functools.partial(events.broken, name[3:], exc)
        else:
            if described is None:
                return method(*args, **kwargs)
            build = functools.partial(events.build_or_broken, *described)
        return frames.around("o", build, lambda: method(*args, **kwargs))

    return wrapper


class _Window:
    """Lets whoever may signal this process look into it. Until somebody does, this is one handler of a signal, which
    the processes of tasks inherit.

    The handler runs between two steps of whatever Ansible does. So it takes no lock, shows nothing and masks nothing.
    """

    def __init__(self, directory, events):
        self._directory = directory
        self._events = events
        self._pid = os.getpid()
        #: When this process, one of a task, was asked first to end it.
        self._asked_at = None
        self.manager = None
        with suppress(ValueError, OSError):
            signal.signal(ASK_SIGNAL, self._asked)
            # Python gives its handlers back when it ends, and a late question would end Ansible otherwise than it did
            atexit.register(signal.signal, ASK_SIGNAL, signal.SIG_IGN)

    def _asked(self, number, frame):
        if os.getpid() != self._pid:
            self._end_task(frame)
            return
        with suppress(Exception):
            self._write(_dump({"workers": list(self._workers()), "reported": self._reported()}))

    def _write(self, text):
        aside = os.path.join(self._directory, ".%s-%s" % (ANSWER, uuid.uuid4()))
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        os.rename(aside, os.path.join(self._directory, ANSWER))

    def _workers(self):
        """The processes of tasks. Ansible keeps one that has ended until it needs its place."""
        sharing = _Sharing(self.manager)
        for worker in list(getattr(self.manager, "_workers", None) or ()):
            if worker is None or worker._popen is None or worker._popen.returncode is not None:
                continue
            host, task = worker._host.get_name(), worker._task
            told = {"pid": worker.pid, "host": host, "task": "", "no_log": True, "shared": "unknown"}
            with suppress(Exception):
                told["shared"] = sharing.of(task, host)
                told["task"] = self._events.known_name(task)
                told["no_log"] = bool(task.no_log)
            yield told

    def _reported(self):
        """How often each host was reported as failed or unreachable, also where that was ignored or rescued."""
        stats, found = self.manager._stats, {}
        for counts in (stats.failures, stats.dark, stats.ignored, stats.rescued):
            for host, count in list(counts.items()):
                found[host] = found.get(host, 0) + count
        return found

    def _end_task(self, frame):
        """Raises in the process of a task where Ansible makes a failed task of it, and nowhere else: not while it talks
        to the main process or holds a lock, and not while it removes what it made on the host, for some seconds.
        Whoever asks asks again.
        """
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        cleans, inner = False, None
        while frame is not None and frame.f_code not in _EXECUTES:
            if frame.f_code.co_filename.endswith(_TALKS):
                return
            cleans = cleans or frame.f_code in _CLEANS
            inner, frame = frame, frame.f_back
        if frame is None or (cleans and time.monotonic() < self._asked_at + _CLEANING_SECONDS):
            return
        runs_action = frame.f_code is not _LOOPS and inner is not None and inner.f_code.co_name == "run"
        while frame is not None and frame.f_code is not _LOOPS:
            frame = frame.f_back
        if frame is not None:
            with suppress(Exception):
                del frame.f_locals["items"][:]  # a loop ends here
        signal.alarm(0)  # Ansible's own limit of the task would come where nobody expects it any more
        raise _TaskEnded() if runs_action else AnsibleError(ENDED)


class _Sharing:
    """Why the end of a task for one host would be felt by others. Hosts are listed once for each answer, if at all: the
    pattern of a play is the one that Ansible has evaluated for it.
    """

    def __init__(self, manager):
        self._manager = manager
        self._gone = set(manager._failed_hosts)
        self._hosts = {}

    def of(self, task, host):
        """Empty if it would not be felt."""
        if task.run_once or task.action.rpartition(".")[2] in _FOR_ALL:
            return "run_once"
        if task.any_errors_fatal:
            return "any_errors_fatal"
        above = task
        while above is not None and not hasattr(above, "_play"):
            above = getattr(above, "_parent", None)
        play = getattr(above, "_play", None)
        batch = self._listed(getattr(play, "hosts", None) or "all")
        most = getattr(play, "max_fail_percentage", None)
        if most is not None and (len(self._gone) + 1) * 100.0 / max(1, len(batch)) > float(most):
            return "max_fail_percentage"
        gone = self._gone.union(self._manager._unreachable_hosts, (host,))
        if not gone.issuperset(batch):
            return ""
        everyone = self._listed("all", ignore_restrictions=True)
        return "" if gone.issuperset(everyone) else "last_host"

    def _listed(self, pattern, **how):
        key = str(pattern), bool(how)
        if key not in self._hosts:
            self._hosts[key] = [one.get_name() for one in self._manager._inventory.get_hosts(pattern, **how)]
        return self._hosts[key]


class _TaskEnded(TaskTimeoutError):
    """Ansible takes it for its own limit of the task, which nothing in between catches: an action or a connection that
    tries again would run the task anew.
    """

    def __init__(self):
        BaseException.__init__(self, ENDED)
        self.timeout, self.frame = 0, None  # ansible-core 2.18 reads the frame

    @property
    def result_contribution(self):  # of ansible-core 2.19 to 2.21
        return {}

    def as_task_result(self, utr):  # since 2.22
        return utr


#: What runs a task, inside of what makes a result of its errors; and what runs each of a loop.
_LOOPS = TaskExecutor._run_loop.__code__
_EXECUTES = (getattr(TaskExecutor, "_execute_internal", TaskExecutor._execute).__code__, _LOOPS)
#: What removes what was made on the host, and how long it may take.
_CLEANS = (ActionBase.cleanup.__code__, ActionBase._remove_tmp_path.__code__)
_CLEANING_SECONDS = 5.0
_TALKS = (
    "multiprocessing/queues.py", "multiprocessing/connection.py", "multiprocessing/synchronize.py",
    "_fork_safe_lock.py",
)  # fmt: skip
#: Actions that work once for all hosts (their plugins have ``BYPASS_HOST_LOOP``).
_FOR_ALL = ("pause", "add_host")


def _install(key):
    frames, events = Frames(key), Events()
    window = _Window(os.path.dirname(os.environ["RECEPTOR_RUNNER_KEY_FILE"]), events)
    _wrap_display(frames, events)
    send = TaskQueueManager.send_callback

    @functools.wraps(send)
    def send_callback(self, *args, **kwargs):
        if not getattr(self, "_receptor_runner_framed", False):
            self._receptor_runner_framed = True
            window.manager = self
            callback = getattr(self, "_stdout_callback", None)
            if not isinstance(callback, CallbackBase):
                callback = self._callback_plugins[0]
            _wrap_callback(frames, events, callback)
        return send(self, *args, **kwargs)

    TaskQueueManager.send_callback = send_callback


_KEY = _read_key()
if _KEY is not None:
    _install(_KEY)
del _KEY


class CallbackModule(CallbackBase):
    """Nothing by itself: loading this file did it all."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "receptor_runner"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.disabled = True
