"""Changing the dtype, and passing values on."""

from __future__ import annotations

import numpy as np

from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import Value
from voxelgrad.tensor import Tensor

# Numbers of onnx.TensorProto.DataType. A network computes in one float dtype here, so casts between
# the floats do nothing, and integers that become floats become float32 (11: float64).
_FLOATS = {1, 10, 11, 16}
_INTEGERS = {
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    12: np.uint32,
    13: np.uint64,
}


def _cast(call: Call) -> Value:
    value, to = call.value(0), int(call.attribute("to", 0))
    if to in _FLOATS:
        if value.is_float:
            return value
        return Value(Tensor(value.array().astype(np.float64 if to == 11 else np.float32)))
    if to not in _INTEGERS:
        raise ValueError(f"to is {to}, a dtype that voxelgrad does not have")
    return Value(value.array().astype(_INTEGERS[to]))


def _identity(call: Call) -> Value:
    return call.value(0)


OPERATORS: dict[str, Handler] = {"Cast": _cast, "Identity": _identity}
