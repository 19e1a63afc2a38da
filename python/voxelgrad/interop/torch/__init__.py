"""PyTorch's weights without PyTorch: read files, load them into a model, and give ours back."""

from __future__ import annotations

from voxelgrad.interop.report import Report
from voxelgrad.interop.torch.loading import load_state_dict
from voxelgrad.interop.torch.reading import read
from voxelgrad.interop.torch.saving import save, to_torch_state_dict

__all__ = ["Report", "load_state_dict", "read", "save", "to_torch_state_dict"]
