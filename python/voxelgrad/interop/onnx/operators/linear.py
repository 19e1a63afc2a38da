"""Matrix products."""

from __future__ import annotations

from voxelgrad import ops
from voxelgrad.interop.onnx.call import Call, Handler
from voxelgrad.interop.onnx.layout import PLAIN, SWAPPED, Value, same_format


def _gemm(call: Call) -> Value:
    """Return alpha * A @ B + beta * C, A and B transposed where asked for."""
    a = call.tensor(0, SWAPPED if call.attribute("transA", 0) else PLAIN)
    b = call.tensor(1, PLAIN if call.attribute("transB", 0) else SWAPPED)
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"A has shape {a.shape} and B {b.shape}; both must be matrices")
    bias = call.optional(2)
    if alpha == beta == 1.0 and bias is not None and bias.shape == (b.shape[0],):
        return Value(ops.linear(a, b, bias))
    product = ops.linear(a, b)
    output = product if alpha == 1.0 else product * alpha
    if bias is not None:
        output = ops.add(*same_format(output, bias if beta == 1.0 else bias * beta))
    return Value(output)


def _matmul(call: Call) -> Value:
    """Multiply as numpy.matmul does; a stored matrix lies as a linear layer's weight."""
    a, b = call.value(0), call.value(1)
    if b.ndim == 2 and a.ndim > 0:
        return Value(ops.linear(a.tensor(), b.tensor(SWAPPED)))
    return Value(ops.matmul(a.tensor(), b.tensor()))


OPERATORS: dict[str, Handler] = {"Gemm": _gemm, "MatMul": _matmul}
