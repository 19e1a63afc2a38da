"""The rounding error of float32: u, gamma_n, and what softmax does with it."""

from __future__ import annotations

import numpy as np

Arrays = list[np.ndarray | None]
Bounds = list[np.ndarray]

U = 2.0**-24
EXTRA = 8


# Rounding errors of one sum are as good as independent: beyond CONFIDENCE standard deviations they
# do not come (a chance of 2 exp(-CONFIDENCE^2 / 2) = 3e-8 for each element).
CONFIDENCE = 6.0


def gamma(n: float | np.ndarray) -> np.ndarray:
    """Return the largest relative error of a sum of ``n`` terms, after ``EXTRA`` other roundings.

    The smaller of the bound that always holds, n u / (1 - n u), and the probabilistic one, which
    grows with the square root of n.

    Sources: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1;
    N. J. Higham, T. Mary, A new approach to probabilistic rounding error analysis, 2019, th. 2.4.
    """
    count = np.asarray(n) + EXTRA
    roundings = np.minimum(count, CONFIDENCE * np.sqrt(count))
    return roundings * U / (1.0 - roundings * U)


def softmax_parts(logits: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and a bound of the relative error of each.

    exp(x - lse) takes an argument that is off by the error of lse, a sum of K terms, and of the
    difference.
    """
    shifted = logits - logits.max(axis=axis, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    size = np.abs(logits).max(axis=axis, keepdims=True) + np.abs(shifted) + log_total + 1.0
    return np.exp(shifted - log_total), gamma(logits.shape[axis]) * size
