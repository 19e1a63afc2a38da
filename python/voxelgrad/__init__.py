"""voxelgrad: small, fast convolutional networks for medical images, on kernels of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from voxelgrad import autograd, backends, backward, ops, random
from voxelgrad.checkpoint import checkpoint
from voxelgrad.config import get_num_threads, set_num_threads, show_config
from voxelgrad.grad_mode import enable_grad, no_grad
from voxelgrad.gradcheck import GradientError, gradcheck
from voxelgrad.precision import autocast
from voxelgrad.random import manual_seed
from voxelgrad.tensor import Tensor, from_dlpack

if TYPE_CHECKING:
    from voxelgrad import data, interop, models, nn, optim, report, train
    from voxelgrad.compiled import compile
    from voxelgrad.serialization import load, save

__version__ = "0.1.0"

__all__ = [
    "GradientError",
    "Tensor",
    "__version__",
    "autocast",
    "autograd",
    "backends",
    "backward",
    "checkpoint",
    "compile",
    "data",
    "enable_grad",
    "from_dlpack",
    "get_num_threads",
    "gradcheck",
    "interop",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "random",
    "report",
    "save",
    "set_num_threads",
    "show_config",
    "train",
]

# Rooms that are imported when they are first entered, so that `import voxelgrad` stays quick.
_LAZY_MODULES = ("data", "interop", "models", "nn", "optim", "report", "train")
_LAZY_FUNCTIONS = {
    "compile": "voxelgrad.compiled",
    "load": "voxelgrad.serialization",
    "save": "voxelgrad.serialization",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"voxelgrad.{name}")
    if name in _LAZY_FUNCTIONS:
        return getattr(import_module(_LAZY_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'voxelgrad' has no attribute {name!r}")
