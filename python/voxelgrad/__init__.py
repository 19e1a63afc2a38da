"""voxelgrad: small, fast convolutional networks for medical images, on kernels of its own."""

from __future__ import annotations

from voxelgrad import autograd, backends, ops, random
from voxelgrad.config import get_num_threads, set_num_threads, show_config
from voxelgrad.grad_mode import enable_grad, no_grad
from voxelgrad.gradcheck import GradientError, gradcheck
from voxelgrad.random import manual_seed
from voxelgrad.tensor import Tensor

__version__ = "0.1.0"

__all__ = [
    "GradientError",
    "Tensor",
    "__version__",
    "autograd",
    "backends",
    "enable_grad",
    "get_num_threads",
    "gradcheck",
    "manual_seed",
    "no_grad",
    "ops",
    "random",
    "set_num_threads",
    "show_config",
]
