"""What goes into an imported network and what comes out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """An input or output of a network.

    Attributes:
        name: Its name.
        dtype: numpy's name of the dtype.
        shape: Extents in the file's order, None or a name where they may vary; None if unknown.
        channels_last: Whether voxelgrad takes it as (N, *spatial, C), other than the file says.
    """

    name: str
    dtype: str
    shape: list[int | str | None] | None
    channels_last: bool = False

    def __str__(self) -> str:
        """Return name, dtype and shape in the order that voxelgrad takes."""
        if self.shape is None:
            return f"{self.name}: {self.dtype}"
        lengths = ["?" if n is None else str(n) for n in self.shape]
        if self.channels_last:
            lengths = [lengths[0], *lengths[2:], lengths[1]]
        return f"{self.name}: {self.dtype} ({', '.join(lengths)})"
