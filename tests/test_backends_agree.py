"""The backends offer the same functions with the same arguments in the same order."""

from __future__ import annotations

import inspect
import re

import pytest

from voxelgrad.backends import cpu, reference

RUNTIME = {
    "isa_name",
    "isa_names",
    "memory_reset_peak",
    "memory_statistics",
    "memory_trim",
    "num_threads",
    "run_bandwidth",
    "run_fma",
    "run_tiles",
    "set_conv_algorithm",
    "set_isa",
    "set_num_threads",
}
FUSED = {
    "conv_norm_forward",
    "conv_pooled_backward_weight",
    "conv_reads_pooled",
    "relu_max_pool_forward",
}
"""What plans record instead of several calls."""
AUGMENTATION = {"add_gaussian_noise", "adjust_intensity", "resample_linear", "resample_nearest"}


def _parameters(function: object) -> list[str]:
    """Return the parameter names; those of a native function stand in its docstring."""
    if inspect.isfunction(function):
        return list(inspect.signature(function).parameters)
    lines = (function.__doc__ or "").splitlines()
    overloads = [re.findall(r"[(,]\s*(\w+): ", line) for line in lines if "->" in line]
    assert all(names == overloads[0] for names in overloads)
    return overloads[0]


def _functions(module: object) -> dict[str, object]:
    """Return the public functions that ``module`` offers, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and inspect.isroutine(value)
    }


def test_the_same_functions_are_there() -> None:
    native = set(_functions(cpu)) - RUNTIME - FUSED - AUGMENTATION
    assert native == set(_functions(reference))


@pytest.mark.parametrize("name", sorted(set(reference.__all__) - {"empty", "zeros"}))
def test_arguments_have_the_same_names_and_order(name: str) -> None:
    assert _parameters(getattr(cpu, name)) == _parameters(getattr(reference, name))
