"""Types of the native module: flat functions on C-contiguous arrays, outputs given by the caller.

What the functions compute is said in the headers of cpp/ops; the arrays' shapes stand there, too.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float32]
_BFloats: TypeAlias = NDArray[ml_dtypes.bfloat16]
_Images: TypeAlias = _Floats | _BFloats  # all of one call the same
_Doubles: TypeAlias = NDArray[np.float64]
_Labels: TypeAlias = NDArray[np.int64]
_Positions: TypeAlias = NDArray[np.int32]
_MaxIndices: TypeAlias = NDArray[np.uint8] | NDArray[np.int32]

def _empty(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def memory_statistics() -> dict[str, int]: ...
def memory_reset_peak() -> None: ...
def memory_trim() -> None: ...
def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def isa_name() -> str: ...
def isa_names() -> list[str]: ...
def set_isa(name: str) -> None: ...
def run_fma(rounds: int) -> int: ...
def run_tiles(rounds: int) -> int: ...
def run_bandwidth(kind: str, a: _Floats, b: _Floats, output: _Floats, rounds: int) -> int: ...
def activation_forward(kind: str, input: _Images, output: _Images, alpha: float) -> None: ...
def activation_backward(
    kind: str, grad_output: _Images, saved: _Images, grad_input: _Images, alpha: float
) -> None: ...
def clip_forward(input: _Images, output: _Images, low: float, high: float) -> None: ...
def clip_backward(
    grad_output: _Images, input: _Images, grad_input: _Images, low: float, high: float
) -> None: ...
def binary_forward(kind: str, a: _Images, b: _Images, output: _Images) -> None: ...
def fill(output: _Images, value: float) -> None: ...
def broadcast_to(input: _Images, output: _Images, scale: float) -> None: ...
def reduce_sum(input: _Images, output: _Images, scale: float) -> None: ...
@overload
def cast(input: _Floats, output: _BFloats) -> None: ...
@overload
def cast(input: _BFloats, output: _Floats) -> None: ...
def softmax_forward(input: _Floats, output: _Floats, log: bool) -> None: ...
def softmax_backward(
    grad_output: _Floats, output: _Floats, grad_input: _Floats, log: bool
) -> None: ...
def cross_entropy_forward(
    logits: _Floats,
    labels: _Labels,
    class_weight: _Floats | None,
    log_sum_exp: _Floats,
    totals: _Doubles,
    ignore_index: int,
) -> None: ...
def cross_entropy_backward(
    logits: _Floats,
    labels: _Labels,
    class_weight: _Floats | None,
    log_sum_exp: _Floats,
    totals: _Doubles,
    grad_output: _Floats,
    grad_logits: _Floats,
    ignore_index: int,
) -> None: ...
def focal_forward(
    logits: _Floats,
    labels: _Labels,
    class_weight: _Floats | None,
    totals: _Doubles,
    gamma: float,
    ignore_index: int,
) -> None: ...
def focal_backward(
    logits: _Floats,
    labels: _Labels,
    class_weight: _Floats | None,
    totals: _Doubles,
    grad_output: _Floats,
    grad_logits: _Floats,
    gamma: float,
    ignore_index: int,
) -> None: ...
def bce_with_logits_forward(
    logits: _Floats, targets: _Floats, totals: _Doubles, pos_weight: float
) -> None: ...
def bce_with_logits_backward(
    logits: _Floats,
    targets: _Floats,
    totals: _Doubles,
    grad_output: _Floats,
    grad_logits: _Floats,
    pos_weight: float,
) -> None: ...
def distance_forward(kind: str, input: _Floats, target: _Floats, totals: _Doubles) -> None: ...
def distance_backward(
    kind: str,
    input: _Floats,
    target: _Floats,
    totals: _Doubles,
    grad_output: _Floats,
    grad_input: _Floats,
) -> None: ...
def mean_of_totals(op: str, totals: _Doubles, output: _Floats) -> None: ...
def check_probabilities(op: str, targets: _Floats) -> None: ...
def dice_sums(
    probabilities: _Floats, labels: _Labels, sums: _Doubles, ignore_index: int
) -> None: ...
def dice_score(
    sums: _Doubles,
    dice: _Doubles,
    denominator: _Doubles,
    output: _Floats,
    smooth: float,
    include_background: bool,
) -> None: ...
def dice_coefficients(
    dice: _Doubles,
    denominator: _Doubles,
    grad_output: _Floats,
    coefficient_intersection: _Floats,
    coefficient_sum: _Floats,
    include_background: bool,
) -> None: ...
def dice_backward(
    labels: _Labels,
    coefficient_intersection: _Floats,
    coefficient_sum: _Floats,
    grad_probabilities: _Floats,
    ignore_index: int,
) -> None: ...
def dropout(input: _Images, output: _Images, p: float, seed: int) -> None: ...
def sgd_step(
    params: Sequence[_Floats],
    grads: Sequence[_Floats],
    buffers: Sequence[_Floats],
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def adam_step(
    params: Sequence[_Floats],
    grads: Sequence[_Floats],
    exp_avgs: Sequence[_Floats],
    exp_avg_sqs: Sequence[_Floats],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None: ...
def squared_norm(arrays: Sequence[_Floats]) -> float: ...
def scale_inplace(arrays: Sequence[_Floats], factor: float) -> None: ...
def all_finite(array: _Floats) -> bool: ...
def conv_forward(
    input: _Images,
    weight: _Floats,
    bias: _Floats | None,
    output: _Images,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    slope: float,
) -> None: ...
def conv_backward_data(
    grad_output: _Images,
    weight: _Floats,
    grad_input: _Images,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> None: ...
def conv_backward_weight(
    grad_output: _Images,
    input: _Images,
    grad_weight: _Floats,
    grad_bias: _Floats | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> None: ...
def conv_joined_forward(
    inputs: Sequence[_Images],
    weight: _Floats,
    bias: _Floats | None,
    output: _Images,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    slope: float,
) -> None: ...
def conv_norm_forward(
    inputs: Sequence[_Images],
    weight: _Floats,
    bias: _Floats | None,
    conv_output: _Images,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    slope: float,
    norm: str,
    norm_weight: _Floats | None,
    norm_bias: _Floats | None,
    output: _Images,
    mean: _Floats,
    invstd: _Floats,
    eps: float,
    activation: str,
    alpha: float,
) -> None: ...
def conv_joined_backward_data(
    grad_output: _Images,
    weight: _Floats,
    grad_inputs: Sequence[_Images],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> None: ...
def conv_joined_backward_weight(
    grad_output: _Images,
    inputs: Sequence[_Images],
    grad_weight: _Floats,
    grad_bias: _Floats | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> None: ...
def conv_transpose_forward(
    input: _Images,
    weight: _Floats,
    bias: _Floats | None,
    output: _Images,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    slope: float,
) -> None: ...
def conv_transpose_backward_data(
    grad_output: _Images,
    weight: _Floats,
    grad_input: _Images,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> None: ...
def conv_transpose_backward_weight(
    grad_output: _Images,
    input: _Images,
    grad_weight: _Floats,
    grad_bias: _Floats | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> None: ...
def linear_forward(
    input: _Images, weight: _Floats, bias: _Floats | None, output: _Images, slope: float
) -> None: ...
def linear_backward_data(grad_output: _Images, weight: _Floats, grad_input: _Images) -> None: ...
def linear_backward_weight(
    grad_output: _Images, input: _Images, grad_weight: _Floats, grad_bias: _Floats | None
) -> None: ...
def matmul_forward(a: _Images, b: _Floats, output: _Images) -> None: ...
def matmul_backward_a(grad_output: _Images, b: _Floats, grad_a: _Images) -> None: ...
def matmul_backward_b(grad_output: _Images, a: _Images, grad_b: _Floats) -> None: ...
def set_conv_algorithm(name: str) -> None: ...
def resample_linear(
    image: _Floats,
    output: _Floats,
    matrix: _Doubles,
    offset: _Doubles,
    displacement: _Floats | None,
    fill: _Floats,
) -> None: ...
def resample_nearest(
    mask: _Labels,
    output: _Labels,
    matrix: _Doubles,
    offset: _Doubles,
    displacement: _Floats | None,
    fill: int,
) -> None: ...
def add_gaussian_noise(image: _Floats, output: _Floats, std: float, seed: int) -> None: ...
def adjust_intensity(
    image: _Floats,
    output: _Floats,
    low: _Floats,
    high: _Floats,
    gamma: _Floats,
    scale: _Floats,
    shift: _Floats,
) -> None: ...
def batch_norm_forward(
    input: _Images,
    weight: _Floats | None,
    bias: _Floats | None,
    output: _Images,
    mean: _Floats,
    invstd: _Floats,
    eps: float,
    activation: str,
    alpha: float,
) -> None: ...
def batch_norm_update(
    mean: _Floats,
    invstd: _Floats,
    running_mean: _Floats | _Doubles,
    running_var: _Floats | _Doubles,
    count: int,
    momentum: float,
    eps: float,
) -> None: ...
def batch_norm_apply(
    input: _Images,
    weight: _Floats | None,
    bias: _Floats | None,
    mean: _Floats,
    invstd: _Floats,
    output: _Images,
    activation: str,
    alpha: float,
) -> None: ...
def batch_norm_statistics(
    running_mean: _Floats | _Doubles,
    running_var: _Floats | _Doubles,
    mean: _Floats,
    invstd: _Floats,
    eps: float,
) -> None: ...
def batch_norm_fold(
    weight: _Floats,
    bias: _Floats | None,
    norm_weight: _Floats | None,
    norm_bias: _Floats | None,
    mean: _Floats,
    variance: _Floats,
    folded_weight: _Floats,
    folded_bias: _Floats,
    eps: float,
) -> None: ...
def batch_norm_backward(
    grad_output: _Images,
    input: _Images,
    weight: _Floats | None,
    bias: _Floats | None,
    mean: _Floats,
    invstd: _Floats,
    grad_input: _Images | None,
    grad_weight: _Floats | None,
    grad_bias: _Floats | None,
    training: bool,
    activation: str,
    alpha: float,
) -> None: ...
def group_norm_forward(
    input: _Images,
    weight: _Floats | None,
    bias: _Floats | None,
    output: _Images,
    mean: _Floats,
    invstd: _Floats,
    eps: float,
    activation: str,
    alpha: float,
) -> None: ...
def group_norm_apply(
    input: _Images,
    weight: _Floats | None,
    bias: _Floats | None,
    mean: _Floats,
    invstd: _Floats,
    output: _Images,
    activation: str,
    alpha: float,
) -> None: ...
def group_norm_backward(
    grad_output: _Images,
    input: _Images,
    weight: _Floats | None,
    bias: _Floats | None,
    mean: _Floats,
    invstd: _Floats,
    grad_input: _Images | None,
    grad_weight: _Floats | None,
    grad_bias: _Floats | None,
    activation: str,
    alpha: float,
) -> None: ...
def max_pool_forward(
    input: _Images,
    output: _Images,
    indices: _MaxIndices,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> None: ...
def conv_reads_pooled(
    input: _Floats, weight: _Floats, padding: tuple[int, ...], pool_size: tuple[int, ...]
) -> bool: ...
def conv_pooled_backward_weight(
    grad_output: _Floats,
    indices: NDArray[np.uint8],
    input: _Floats,
    grad_weight: _Floats,
    grad_bias: _Floats | None,
    padding: tuple[int, ...],
    pool_size: tuple[int, ...],
) -> None: ...
def relu_max_pool_forward(
    input: _Images,
    output: _Images,
    indices: NDArray[np.uint8],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> None: ...
def max_pool_backward(
    grad_output: _Images,
    indices: _MaxIndices,
    grad_input: _Images,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> None: ...
def avg_pool_forward(
    input: _Images,
    output: _Images,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    count_include_pad: bool,
) -> None: ...
def avg_pool_backward(
    grad_output: _Images,
    grad_input: _Images,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    count_include_pad: bool,
) -> None: ...
def adaptive_avg_pool_forward(input: _Images, output: _Images) -> None: ...
def adaptive_avg_pool_backward(grad_output: _Images, grad_input: _Images) -> None: ...
def transpose(input: _Images, output: _Images, axes: tuple[int, ...]) -> None: ...
def concat(inputs: Sequence[_Images], output: _Images, axis: int) -> None: ...
def split(input: _Images, outputs: Sequence[_Images], axis: int) -> None: ...
def slice_forward(input: _Images, output: _Images, start: tuple[int, ...]) -> None: ...
def pad_forward(
    input: _Images, output: _Images, before: tuple[int, ...], mode: str, value: float
) -> None: ...
def pad_backward(
    grad_output: _Images, grad_input: _Images, before: tuple[int, ...], mode: str
) -> None: ...
def interpolate_forward(
    input: _Images, output: _Images, mode: str, align_corners: bool
) -> None: ...
def interpolate_backward(
    grad_output: _Images, grad_input: _Images, mode: str, align_corners: bool
) -> None: ...
def resample(
    input: _Images,
    output: _Images,
    starts: Sequence[_Positions],
    positions: Sequence[_Positions],
    weights: Sequence[_Floats],
) -> None: ...

class Plan:
    """Native calls with their arguments; what the methods do is said in cpp/bind/plan.hpp."""

    def __init__(self) -> None: ...
    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]: ...
    def declare(self, array: NDArray[Any]) -> None: ...
    def call(self, name: str, *values: Any) -> int: ...
    def knows(self, array: NDArray[Any]) -> bool: ...
    def set(self, call: int, position: int, value: Any) -> None: ...
    def keep_weights(self) -> None: ...
    def add_result(self, array: NDArray[Any]) -> int: ...
    def lay_out(self) -> None: ...
    def result(self, number: int) -> NDArray[Any]: ...
    def run(self) -> None: ...
    def __len__(self) -> int: ...
    @property
    def bytes(self) -> int: ...
