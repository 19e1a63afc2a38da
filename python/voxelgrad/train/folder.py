"""Output folders that are checked before hours of work end in them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder if it is missing, try to write into it, and return it.

    Args:
        path: The folder; missing parents are made too.

    Raises:
        ValueError: If it cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits say nothing on network drives or for root: only writing tells.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"output folder {folder}: it cannot be written to ({reason}); choose another folder"
        ) from error
    return folder
