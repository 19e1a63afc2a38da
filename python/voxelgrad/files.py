"""Files: written whole or not at all, and read without trusting the sizes that they claim."""

from __future__ import annotations

import errno
import gzip
import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

Writer = Callable[[BinaryIO], object]

DEFLATE_MOST = 1032
"""How many bytes one byte of deflate (gzip, zip, PNG) can stand for at most."""

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What building something from a damaged description raises, whatever is built."""

_REASONS = {
    errno.ENOENT: "its folder does not exist; create it or choose another one",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "it is a folder; give a file name",
    errno.EACCES: "you may not write there; choose a folder that you may write to",
    errno.EPERM: "you may not write there; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
}


class BoundedFile(io.BufferedReader):
    """A file that is never asked for more than it can have: a damaged size would take that memory.

    Args:
        raw: The file, or what decompresses it.
        length: How many bytes it can give at most.
    """

    def __init__(self, raw: io.RawIOBase | gzip.GzipFile, length: int) -> None:
        super().__init__(raw)
        self.length = length

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most ``size`` bytes, all that are left if it is negative."""
        if size is None or size < 0:
            return super().read()
        return super().read(min(size, max(0, self.length - self.tell())))


def open_bounded(path: str | os.PathLike[str]) -> BoundedFile:
    """Open a file for reading that is never asked for more bytes than it has."""
    return BoundedFile(io.FileIO(path), os.stat(path).st_size)


def one_line(error: BaseException, most: int = 500) -> str:
    """Return what an error says, or else its name, on one line of at most so many characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:most]


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
