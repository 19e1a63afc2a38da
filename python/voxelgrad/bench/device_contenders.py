"""Who takes part on a CUDA device, with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voxelgrad.bench.processes import OWN, Contender, check_peer

COMPILE_MODES = ("default", "max-autotune", "reduce-overhead")


def device_contenders(
    against: Sequence[str], settings: Mapping[str, Any], compiled: Sequence[str], graphs: bool
) -> list[Contender]:
    """Return voxelgrad and the configurations of PyTorch on a CUDA device.

    Args:
        against: Peers; only torch has kernels for the device here.
        settings: Of all: ``threads``, ``dtype``, ``tf32``.
        compiled: Modes of torch.compile that take part.
        graphs: Whether steps captured as CUDA graphs take part.

    Raises:
        ValueError: If a peer is unknown, not installed, or runs on the CPU only.
    """
    common = {**settings, "device": "cuda"}
    found = [Contender(OWN, OWN, common)]
    for peer in against:
        check_peer(peer)
        if peer != "torch":
            raise ValueError(f"bench: {peer} takes part on the CPU only; give --against torch")
        found.append(Contender("torch default", peer, {**common, "layout": "nchw"}))
        for layout in ("nchw", "channels_last"):
            tuned = {**common, "layout": layout, "tuned": True}
            found.append(Contender(f"torch {layout} tuned", peer, tuned))
            if graphs:
                found.append(Contender(f"torch {layout} graph", peer, {**tuned, "graph": True}))
            found += [
                Contender(f"torch {layout} compile {mode}", peer, {**tuned, "compile": mode})
                for mode in compiled
            ]
    return found
