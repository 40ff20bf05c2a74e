"""The shared root, opened once, and what a resolver finds beneath it: descriptors, never paths."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from sallyport.pep.model import Unresolved
from sallyport.pep.tools.files.beneath import FILE, FOLDER, Opener, opener
from sallyport.pep.tools.files.paths import components
from sallyport.runtime.problems import ConfigError

# What a caller's name may run into; anything else (EMFILE, EIO, …) is broken machinery and is raised.
_EXPECTED: Final = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.EPERM, errno.ENXIO,
    errno.ENODEV, errno.ENAMETOOLONG, errno.EAGAIN, errno.EINVAL, errno.ESTALE,
})  # fmt: skip


class Handle:
    """What was judged: an open folder and a name in it, and the open file or folder itself if there is one."""

    __slots__ = ("descriptor", "name", "parent")

    def __init__(self, parent: int, name: str, descriptor: int | None) -> None:
        self.parent = parent
        self.name = name
        self.descriptor = descriptor  # held open, so that its inode number can't be given to another file

    def close(self) -> None:
        """Let both descriptors go; a second time does nothing."""
        parent, self.parent = self.parent, -1
        descriptor, self.descriptor = self.descriptor, None
        for number in (parent, -1 if descriptor is None else descriptor):
            if number >= 0:
                os.close(number)

    def still_there(self) -> bool:
        """Whether the name still stands for the very file that was judged."""
        if self.descriptor is None:
            return False
        try:
            now = os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(now, os.fstat(self.descriptor))


class Root:
    """The only folder that the file tools know."""

    def __init__(self, path: Path, *, open_with: Opener | None = None) -> None:
        """Raise ConfigError where there is no such folder. `open_with` overrides the choice of `beneath.opener`."""
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            problem = f"files.root: can't open the folder ({error.strerror}): create it or name another"
            raise ConfigError.about(path, problem) from None
        self._open = open_with or opener(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def folder(self, path: str) -> Handle | Unresolved:
        """An open folder."""
        names = components(path)
        if names is None:
            return Unresolved("not a canonical path")
        try:
            return Handle(-1, path, self._open(self._descriptor, names, FOLDER))
        except OSError as error:
            return _unresolved(error)

    def file(self, path: str) -> Handle | Unresolved:
        """An open parent folder, and the file in it if there is one: regular, and known by this name alone."""
        names = components(path)
        if not names:
            return Unresolved("not a canonical path of a file")
        try:
            parent = self._open(self._descriptor, names[:-1], FOLDER)
        except OSError as error:
            return _unresolved(error)
        handle = Handle(parent, names[-1], None)
        try:
            handle.descriptor = self._open(parent, names[-1:], FILE)
            reason = _unfit(os.fstat(handle.descriptor))
        except FileNotFoundError:
            return handle
        except OSError as error:
            handle.close()
            return _unresolved(error)
        if reason:
            handle.close()
            return Unresolved(reason)
        return handle


def _unfit(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    # A hard link gives another owner's file a name beneath one's own folder.
    return "a file with several names" if status.st_nlink != 1 else ""


def _unresolved(error: OSError) -> Unresolved:
    if error.errno not in _EXPECTED:
        raise error
    return Unresolved(f"can't be opened: {errno.errorcode.get(error.errno or 0, 'unknown')}")
