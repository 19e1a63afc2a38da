"""Call every native function with arguments that do not fit, before forbidden pages (a script).

The calls that the op cases make are recorded, then repeated with one argument changed: an array
that is one element too short or too long along an axis, of another rank or dtype, strided or empty;
settings that are zero, negative, huge, too many or unknown. A call may succeed, where the change
happens to make sense, or raise ValueError or TypeError; anything else, a crash above all, is a
mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from guarded_run import guarded_copy, guarded_empty
from op_cases import CASES
from op_runs import evaluate, problem_of
from voxelgrad.backends import cpu, reference

CALLS_EACH = 2
FUNCTIONS = sorted(set(reference.__all__) - {"empty", "zeros"})
Call = tuple[Any, ...]


def record_calls() -> dict[str, list[Call]]:
    """Return up to CALLS_EACH argument lists for each native function that the op cases use."""
    calls: dict[str, list[Call]] = {name: [] for name in FUNCTIONS}

    def recorder(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            result = function(*args)
            if len(calls[name]) < CALLS_EACH:
                calls[name].append(args)
            return result

        return call

    originals = {name: getattr(cpu, name) for name in FUNCTIONS}
    for name, function in originals.items():
        setattr(cpu, name, recorder(name, function))
    for case in np.random.default_rng(0).permutation(CASES):
        evaluate(case, "cpu", *problem_of(case).in_float32())
    for name, function in originals.items():
        setattr(cpu, name, function)
    return calls


def add_calls_of_no_op(calls: dict[str, list[Call]]) -> None:
    """Add calls of functions on lists of arrays, of formats, of what rebuilds or is compiled."""

    def arrays() -> list[np.ndarray]:
        return [np.ones(3, np.float32), np.ones((2, 5), np.float32)]

    one, two = arrays(), arrays()
    calls["sgd_step"] = [(one, two, arrays(), 0.1, 0.9, True, 0.1)]
    calls["adam_step"] = [(one, two, arrays(), arrays(), 0.1, 0.9, 0.9, 1e-8, 0.1, True, 1)]
    calls["squared_norm"] = [(one,)]
    calls["scale_inplace"] = [(one, 2.0)]
    calls["all_finite"] = [(one[0],)]
    narrow = np.zeros(3, ml_dtypes.bfloat16)
    calls["cast"] = [(one[0], narrow), (narrow, one[0])]
    weight, channels = one[1], [np.ones(2, np.float32) for _ in range(6)]
    calls["fill"] = [(one[1], 2.0)]
    images, rows = (np.ones((2, 3, 4), np.float32) for _ in range(2)), np.ones((2, 2), np.float32)
    affine = [np.ones(4, np.float32) for _ in range(2)]
    calls["group_norm_apply"] = [(next(images), *affine, rows, rows + 1, next(images), "relu", 0.0)]
    calls["batch_norm_fold"] = [(weight, *channels[:5], two[1], channels[5], 1e-5)]


def _resized(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    other = guarded_empty(shape, array.dtype)
    other.fill(0)
    return other


def wrong_arrays(array: np.ndarray) -> Iterator[Any]:
    """Yield arrays that are not what ``array`` was."""
    shape = array.shape
    for axis, extent in enumerate(shape):
        for other in {extent - 1, extent + 1, 0}:
            yield _resized(array, (*shape[:axis], other, *shape[axis + 1 :]))
    yield _resized(array, (*shape, 1))
    yield _resized(array, (array.size,))
    yield _resized(array, shape[1:])
    yield array.astype(np.float64 if array.dtype != np.float64 else np.float32)
    yield array.astype(np.int32 if array.dtype != np.int32 else np.int16)
    yield np.asfortranarray(array)
    frozen = array.copy()
    frozen.flags.writeable = False
    yield frozen
    yield np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    yield from (None, "array", [1.0])


def wrong_settings(value: Any) -> Iterator[Any]:
    """Yield what may wrongly stand where ``value`` stood."""
    if isinstance(value, tuple):
        for replacement in (0, -1, 2, 100, 2**40, -(2**63)):
            yield tuple(replacement for _ in value)
            yield (*value[:-1], replacement)
        yield (*value, 1)
        yield value[1:]
    elif isinstance(value, str):
        yield from ("", "nonsense", "relu")
    elif isinstance(value, (int, float)):
        yield from (0, -1, 7, 1000, 2**40, -(2**63), float("nan"))
    yield from (None, "text")


def wrong_values(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield from wrong_arrays(value)
    elif isinstance(value, list):
        yield from ([], value[:1], [*value, value[0]])
        for other in wrong_arrays(value[-1]):
            yield [*value[:-1], other]
    else:
        yield from wrong_settings(value)


def _fresh(value: Any) -> Any:
    """Copy arrays to before a forbidden page, so that no call sees what another one wrote."""
    if isinstance(value, list):
        return [_fresh(v) for v in value]
    return guarded_copy(value) if isinstance(value, np.ndarray) else value


def is_refused(function: Callable[..., Any], args: list[Any]) -> bool:
    """Return whether the call raises one of the right errors; read-only arrays must stay."""
    frozen = [a for a in args if isinstance(a, np.ndarray) and not a.flags.writeable]
    before = [a.tobytes() for a in frozen]
    try:
        function(*args)
    except (ValueError, TypeError):
        return True
    finally:
        assert [a.tobytes() for a in frozen] == before, "a read-only array was written to"
    return False


def main() -> None:
    """Make the calls; the last line printed names the one that crashed."""
    calls = record_calls()
    add_calls_of_no_op(calls)
    made = refused = 0
    for name, argument_lists in calls.items():
        assert argument_lists, f"no op case calls {name}"
        for args in argument_lists:
            for place, value in enumerate(args):
                for number, wrong in enumerate(wrong_values(value)):
                    print(name, place, number, flush=True)
                    changed = [wrong if i == place else _fresh(a) for i, a in enumerate(args)]
                    made += 1
                    refused += is_refused(getattr(cpu, name), changed)
    assert refused > made / 2, f"only {refused} of {made} wrong calls were refused"
    print("done")


if __name__ == "__main__":
    main()
