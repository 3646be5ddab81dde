"""Where one job is worked on: a private data dir with its lock, and the guard that cleans up behind it.

Rules: whoever enters it leaves it. Then the directory is gone if it was temporary or is to be deleted, and unlocked if
not. The lock lasts as long as this process or its guard."""

from __future__ import annotations

import os

from ..guard.client import Guard
from ..guard.launch import LaunchedKeeper
from ..system.deletable import check_deletable
from ..system.directories import clear, lock, make
from ..system.removal import remove_tree

__all__ = ["WorkDir"]


class WorkDir:
    """The directory of one job. ``private_data_dir`` is None for a temporary one. ``delete`` empties it before the job
    and removes it after. ``keeper`` was launched for a temporary one.
    """

    def __init__(self, private_data_dir: str | None, *, delete: bool, keeper: LaunchedKeeper | None = None) -> None:
        self._private_data_dir = private_data_dir
        self._delete = delete
        self._keeper = keeper
        self._lock = -1
        self.path = ""
        #: For what the job puts into ``TMPDIR``; short, because sockets are made there.
        self.scratch = ""
        #: The directories that it had before it moved.
        self._left: list[str] = []

    @property
    def is_removed(self) -> bool:
        """Whether all that is in it goes when the job is over."""
        return self._private_data_dir is None or self._delete

    def __enter__(self) -> WorkDir:
        path = self._private_data_dir
        if path is None:
            self.guard = Guard(self._keeper)
            try:
                self.path, self.scratch, _ = self.guard.setup(temporary=True)
                self._lock = lock(self.path, exclusive=False)
            except BaseException:
                self.guard.close()
                raise
            return self
        path = os.path.abspath(path)
        if self._delete:
            check_deletable(path)
            clear(path)
        make(path)
        self.path = path
        self._lock = lock(path, exclusive=self._delete)
        try:
            self.guard = Guard(inherit=[self._lock])
            self.scratch = self.guard.setup(remove=path if self._delete else None).scratch
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def move_to(self, place: str) -> None:
        """A temporary directory is now in ``place``: nothing was put into the one that it had. Another one stays where
        it is.

        :raises ReceptorRunnerError: it cannot be made there.
        """
        if self._private_data_dir is not None:
            return
        path, scratch, _ = self.guard.setup(temporary=True, place=os.path.abspath(place))
        self._left += [self.path, self.scratch]
        held = lock(path, exclusive=False)
        os.close(self._lock)
        self.path, self.scratch, self._lock = path, scratch, held

    def __exit__(self, *exc: object) -> None:
        self.guard.close()
        os.close(self._lock)
        # only if the guard was killed is there anything left
        for path in (*self._left, self.scratch, *([self.path] if self.is_removed else [])):
            remove_tree(path)
