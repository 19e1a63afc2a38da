"""Writing files so that a reader finds the old one or the whole new one, never half of it."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

Writer = Callable[[BinaryIO], object]

_REASONS = {
    errno.ENOENT: "its folder does not exist; create it or choose another one",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "it is a folder; give a file name",
    errno.EACCES: "you may not write there; choose a folder that you may write to",
    errno.EPERM: "you may not write there; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
}


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside ``path``; rename it to ``path`` if the block ends well.

    The temporary name keeps the ending of ``path``, for writers that choose a format by it. The
    file is synced to disk before the rename. If the block raises, the temporary file is removed and
    an earlier file at ``path`` stays as it was.

    Args:
        path: Where the finished file shall lie; an existing file there is replaced.

    Yields:
        The name to write to.

    Raises:
        ValueError: If ``path`` cannot be written: no such folder, no permission, a folder itself.
        OSError: If writing fails for another reason, such as a full disk.
    """
    target = Path(path)
    if os.path.isdir(target):
        raise ValueError(f"cannot write {target}: {_REASONS[errno.EISDIR]}")
    temporary = target.with_name(f".{secrets.token_hex(6)}.{target.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise _explained(error, target) from error
    finally:
        _remove_if_there(temporary)


def write_atomically(path: str | os.PathLike[str], content: bytes | Writer) -> None:
    """Write a file through a temporary one in the same folder; see ``atomic_path``.

    Args:
        path: Where the file shall lie; an existing file there is replaced.
        content: The bytes, or a function that writes them into the open binary file it is given.

    Raises:
        ValueError: If ``path`` cannot be written: no such folder, no permission, a folder itself.
        OSError: If writing fails for another reason, such as a full disk.
    """
    with atomic_path(path) as temporary, temporary.open("xb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(file)


def _sync(path: Path) -> None:
    # A folder can be opened and synced on POSIX only.
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_if_there(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The folder itself is the trouble, and that error is already on its way up.
        return


def _explained(error: OSError, target: Path) -> Exception:
    reason = _REASONS.get(error.errno or 0)
    if reason is not None:
        return ValueError(f"cannot write {target}: {reason}")
    return OSError(error.errno, f"cannot write {target}: {error.strerror or error}")
