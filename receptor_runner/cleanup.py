"""Removes what jobs left on a node: private data dirs by pattern, container images by name.

Rules: a directory stays if a living worker holds its lock. It also stays if any process names it in its arguments,
works in it or has it open, because ansible-runner's workers hold no lock, and if its ``pid`` file names a living one.
No link is followed, and nothing goes that may be somebody else's. A directory that cannot be removed does not stop the
others. All are renamed before the first is deleted, because a controller waits 20 seconds. An image whose container is
running stays, because its removal would end that job. The report goes to ``sys.stdout`` as it is at the time of the
call: controllers redirect it and look for the last line, ``(changed: True)`` or ``(changed: False)``."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import OutputError, UsageError
from .guard.engine import ask_engine
from .system.below import read_regular
from .system.deletable import check_deletable, never_deletable
from .system.directories import lock
from .system.in_use import used_by_processes
from .system.removal import remove_tree

__all__ = ["run_cleanup"]

#: What a directory is called from the moment when nobody may use it any more.
_ASIDE = ".receptor-runner-removing-"
_ENGINE_SECONDS = 300.0
_LONGEST_PID = 32
_DEFAULT_GRACE_MINUTES = 60.0


def run_cleanup(options: Mapping[str, Any]) -> None:
    """Cleans up as told by ``options``, which have the names of ``ansible-runner worker cleanup``'s.

    :param options: ``file_pattern``, ``exclude_strings``, ``remove_images``, ``grace_period`` (minutes, 60 if missing),
        ``image_prune``, ``process_isolation_executable``, ``store`` (its directory) and ``dry_run``; all may be
        missing.
    :raises UsageError: the pattern could match a system directory.
    """
    dry_run = bool(options.get("dry_run"))
    changed = 0
    store = options.get("store")
    if store:
        changed += _empty_store(str(store), dry_run=dry_run)
    pattern = options.get("file_pattern")
    if pattern:
        excluded = _words(options.get("exclude_strings"))
        changed += _remove_directories(str(pattern), excluded, _grace_seconds(options), dry_run=dry_run)
    engine = str(options.get("process_isolation_executable") or "podman")
    images = _words(options.get("remove_images"))
    if images:
        changed += _remove_images(engine, images, dry_run=dry_run)
    if options.get("image_prune"):
        changed += _prune_images(engine, dry_run=dry_run)
    _say(f"(changed: {bool(changed)})")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _words(value: Any) -> list[str]:
    """Names in any of the forms that controllers have sent: a list, or one text with blanks, commas or quotes between
    the names.
    """
    texts = [value] if isinstance(value, str) else list(value or ())
    return [word for text in texts for word in re.split(r"[\s,\"']+", str(text)) if word]


def _grace_seconds(options: Mapping[str, Any]) -> float:
    value = options.get("grace_period")
    try:
        return (_DEFAULT_GRACE_MINUTES if value is None else float(value)) * 60
    except (TypeError, ValueError) as exc:
        raise UsageError(f"the grace period {value!r} is not a number of minutes") from exc


def _remove_directories(pattern: str, excluded: Iterable[str], grace: float, *, dry_run: bool) -> int:
    _check_pattern(pattern)
    before = time.time() - grace
    candidates = [path for path in sorted(glob.glob(pattern)) if _is_old(path, before)]
    candidates = [path for path in candidates if not any(word in path for word in excluded)]
    in_use = used_by_processes(candidates)
    aside = []
    for path in candidates:
        if path in in_use or _names_a_process(path):
            continue
        try:
            aside.append(_moved_aside(path, pattern, dry_run=dry_run))
        except (OSError, OutputError, UsageError) as exc:
            _say(f"Kept {path}: {exc}")
    if aside:
        verb = "Would remove" if dry_run else "Removed"
        _say(f"{verb} {len(aside)} private data dir(s) in pattern {pattern}")
    if dry_run:
        return 0
    for path in [*aside, *_left_aside(pattern)]:
        _remove_registries(path)
        remove_tree(path)
    return len(aside)


def _empty_store(directory: str, *, dry_run: bool) -> int:
    """Jobs that use the store now have what they need already, or say what they lack."""
    from .delta.content_store import ContentStore

    try:
        with ContentStore(directory, 1) as store:
            used = store.use().used
            if not dry_run:
                store.remove()
    except OSError as exc:
        raise OutputError(f"cannot use the store {directory}: {exc.strerror}") from exc
    _say(f"{'Would remove' if dry_run else 'Removed'} {used} bytes of the store {directory}")
    return int(used > 0 and not dry_run)


def _names_a_process(path: str) -> bool:
    """Whether a process lives that ``ansible-runner start`` has written down in the directory."""
    with contextlib.suppress(OSError, ValueError):
        return _is_alive(int(read_regular(os.path.join(path, "pid"), _LONGEST_PID)))
    return False


def _is_alive(pid: int) -> bool:
    import psutil

    return pid > 0 and psutil.pid_exists(pid)


def _check_pattern(pattern: str) -> None:
    """:raises UsageError: it is relative, or could match what is never deleted."""
    if not os.path.isabs(pattern) or ".." in pattern.split("/"):
        raise UsageError(f"the file pattern {pattern} must be an absolute path")
    for path in sorted(never_deletable()):
        if path.count("/") == pattern.rstrip("/").count("/") and fnmatch.fnmatchcase(path, pattern.rstrip("/")):
            raise UsageError(f"the file pattern {pattern} is refused: it could match {path}")


def _is_old(path: str, before: float) -> bool:
    with contextlib.suppress(OSError):
        return not os.path.islink(path) and os.path.isdir(path) and os.lstat(path).st_mtime < before
    return False


def _moved_aside(path: str, pattern: str, *, dry_run: bool) -> str:
    """Renames a directory that nobody uses, and returns its new name. Whatever happens from here on, it is gone from
    its old place.

    :raises UsageError: it must not be deleted.
    :raises OutputError: a worker holds it.
    """
    _check_parents(path, pattern)
    check_deletable(path)
    held = lock(path, exclusive=True)
    try:
        if dry_run:
            _say(f"Would remove {path}")
            return path
        aside = os.path.join(os.path.dirname(path), f"{_ASIDE}{secrets.token_hex(8)}")
        os.rename(path, aside)
        return aside
    finally:
        os.close(held)


def _check_parents(path: str, pattern: str) -> None:
    """:raises UsageError: what a wildcard matched is a link, which anybody may have put there."""
    parts = pattern.rstrip("/").split("/")
    first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    for number in range(first, len(parts)):
        above = "/".join(path.split("/")[: number + 1])
        if os.path.islink(above):
            raise UsageError(f"{above} is a symbolic link")


def _left_aside(pattern: str) -> list[str]:
    """What a cleanup that was interrupted has moved aside and not removed."""
    found = glob.glob(os.path.join(os.path.dirname(pattern.rstrip("/")), f"{_ASIDE}*"))
    return [path for path in found if _is_ours(path)]


def _is_ours(path: str) -> bool:
    """A directory of this user's; another cleanup may be removing it."""
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return False


def _remove_registries(path: str) -> None:
    """Removes credentials for registries: ansible-runner keeps them in the temporary directory, by the ident of a
    job."""
    with contextlib.suppress(OSError):
        for ident in os.listdir(os.path.join(path, "artifacts")):
            name = f"ansible_runner_registry_{glob.escape(ident)}_*"
            for registry in glob.glob(os.path.join(tempfile.gettempdir(), name)):
                if _is_ours(registry):
                    remove_tree(registry)


def _remove_images(engine: str, images: list[str], *, dry_run: bool) -> int:
    if dry_run:
        _say(f"Would remove {len(images)} image(s)")
        return 0
    removed = 0
    for image in images:
        used = ask_engine([engine, "ps", "--quiet", "--filter", f"ancestor={image}"], _ENGINE_SECONDS)
        if used is None:
            continue  # the engine or the image is not there, or nobody knows
        if used:
            _say(f"Kept the image {image}: a container of it is running")
        elif ask_engine([engine, "rmi", image, "-f"], _ENGINE_SECONDS):
            removed += 1
    if removed:
        _say(f"Removed {removed} image(s)")
    return removed


def _prune_images(engine: str, *, dry_run: bool) -> int:
    if dry_run:
        _say("Would prune images")
        return 0
    output = ask_engine([engine, "image", "prune", "-f"], _ENGINE_SECONDS)
    if not output or output.endswith("Total reclaimed space: 0B"):
        return 0
    _say("Pruned images")
    return 1
