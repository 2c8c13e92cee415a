"""One writer per folder: a lock that the operating system releases even after a kill."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import IO

from sundog.core.errors import RunFolderError

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _lock(stream: IO[str]) -> None:
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(stream: IO[str]) -> None:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _try_until(stream: IO[str], deadline: float) -> None:
    while True:
        try:
            _lock(stream)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
        else:
            return


class FolderLock:
    """Holds ``path/.lock`` from construction to :meth:`release`.

    The lock belongs to the open file, so a process that dies, in whatever way, frees it.
    """

    def __init__(self, folder: Path, *, wait: float = 0.0) -> None:
        """Take the lock.

        Args:
            folder: the directory, which must exist.
            wait: seconds to go on trying while somebody else holds it.

        Raises:
            RunFolderError: another process or another object holds it.
        """
        self._stream: IO[str] | None = (folder / ".lock").open("a+", encoding="utf-8")
        try:
            _try_until(self._stream, time.monotonic() + wait)
        except OSError as error:
            self._stream.seek(0)
            holder = self._stream.read().strip()
            self.release()
            raise RunFolderError(
                f"The run folder {str(folder)!r}",
                expected="written by one process at a time",
                got=f"a lock held by process {holder}" if holder else "a lock held elsewhere",
                hint="Wait for it to finish, or choose another folder.",
            ) from error
        self._stream.truncate(0)
        self._stream.write(str(os.getpid()))
        self._stream.flush()

    def release(self) -> None:
        """Free the lock; calling it again does nothing."""
        if self._stream is not None:
            with contextlib.closing(self._stream):
                self._stream = None
