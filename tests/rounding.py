"""The rounding error of float32: u, gamma_n, and what softmax does with it."""

from __future__ import annotations

import numpy as np

Arrays = list[np.ndarray | None]
Bounds = list[np.ndarray]

U = 2.0**-24
EXTRA = 8


def gamma(n: int) -> float:
    """Return the largest relative error of a sum of ``n`` terms, after ``EXTRA`` other roundings.

    Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1.
    """
    return (n + EXTRA) * U / (1.0 - (n + EXTRA) * U)


def softmax_parts(logits: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and a bound of the relative error of each.

    exp(x - lse) takes an argument that is off by the error of lse, a sum of K terms, and of the
    difference.
    """
    shifted = logits - logits.max(axis=axis, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    size = np.abs(logits).max(axis=axis, keepdims=True) + np.abs(shifted) + log_total + 1.0
    return np.exp(shifted - log_total), gamma(logits.shape[axis]) * size
