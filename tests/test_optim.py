"""Optimizers follow their papers' formulas, restore exactly, and refuse bad settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from voxelgrad import nn, optim

Array = np.ndarray[Any, Any]
Rule = Callable[[Array, list[Array]], Array]

SHAPES = [(3, 4), (5,), (2, 3, 3, 2)]
STEPS = 7


def descend(gradients: list[Array], start: Array, rule: str, **s: Any) -> Array:
    """Follow the formulas of SGD and Adam for one parameter, in float64, word by word."""
    w = start.astype(np.float64)
    velocity, m, v = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    decay = s.get("weight_decay", 0.0)
    for t, g in enumerate(gradients, start=1):
        if rule == "SGD":
            g = g + decay * w
            velocity = s.get("momentum", 0.0) * velocity + g
            w = w - s["lr"] * (g + s["momentum"] * velocity if s.get("nesterov") else velocity)
            continue
        b1, b2 = s.get("betas", (0.9, 0.999))
        if rule == "AdamW":
            w = w - s["lr"] * decay * w
        else:
            g = g + decay * w
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        w = w - s["lr"] * m_hat / (np.sqrt(v_hat) + s.get("eps", 1e-8))
    return w


CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
]


def problem(dtype: Any) -> tuple[list[nn.Parameter], list[list[Array]]]:
    """Return parameters, and for each step a gradient for each of them."""
    random = np.random.default_rng(0)
    params = [nn.Parameter(random.normal(size=shape).astype(dtype)) for shape in SHAPES]
    gradients = [
        [random.normal(size=shape).astype(dtype) for shape in SHAPES] for _ in range(STEPS)
    ]
    return params, gradients


def run(optimizer: optim.Optimizer, gradients: list[list[Array]]) -> None:
    for step in gradients:
        for parameter, gradient in zip(optimizer.params, step, strict=True):
            parameter.grad = vg.Tensor(gradient.copy())
        optimizer.step()


@pytest.mark.parametrize(("name", "settings"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimizer_follows_its_formula(name: str, settings: Any, dtype: Any) -> None:
    params, gradients = problem(dtype)
    starts = [parameter.data.copy() for parameter in params]
    run(getattr(optim, name)(params, **settings), gradients)
    # A step rounds a few times at magnitude ~1; STEPS of them stay below 10 STEPS roundings.
    bound = 10 * STEPS * np.finfo(dtype).eps
    for index, parameter in enumerate(params):
        expected = descend([step[index] for step in gradients], starts[index], name, **settings)
        np.testing.assert_allclose(parameter.data, expected, rtol=bound, atol=bound)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_optimizer_agrees_with_pytorch(name: str, settings: Any) -> None:
    torch = pytest.importorskip("torch")
    params, gradients = problem(np.float64)
    theirs = [torch.nn.Parameter(torch.from_numpy(p.data.copy())) for p in params]
    peer = getattr(torch.optim, name)(theirs, **settings)
    for step in gradients:
        for parameter, gradient in zip(theirs, step, strict=True):
            parameter.grad = torch.from_numpy(gradient.copy())
        peer.step()
    run(getattr(optim, name)(params, **settings), gradients)
    for ours, their in zip(params, theirs, strict=True):
        np.testing.assert_allclose(ours.data, their.detach().numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_resuming_from_a_state_ends_bit_equal(name: str, settings: Any) -> None:
    params, gradients = problem(np.float32)
    optimizer = getattr(optim, name)(params, **settings)
    run(optimizer, gradients[:3])
    state = optimizer.state_dict()
    json.dumps({key: value for key, value in state.items() if key != "arrays"})
    copies = [nn.Parameter(parameter.data.copy()) for parameter in params]
    run(optimizer, gradients[3:])
    resumed = getattr(optim, name)(copies, **{**settings, "lr": 0.5})
    resumed.load_state_dict(state)
    assert resumed.lr == settings["lr"]
    run(resumed, gradients[3:])
    for first, second in zip(params, copies, strict=True):
        assert (first.data == second.data).all()


def test_parameters_without_gradient_stay_and_join_adam_with_their_own_count() -> None:
    params, gradients = problem(np.float64)
    start = [parameter.data.copy() for parameter in params]
    optimizer = optim.Adam(params, lr=0.01)
    for index, step in enumerate(gradients):
        optimizer.zero_grad()
        params[0].grad = vg.Tensor(step[0])
        if index >= 4:
            params[1].grad = vg.Tensor(step[1])
        optimizer.step()
    assert optimizer.step_counts == [7, 3, 0]
    assert (params[2].data == start[2]).all()
    late = descend([step[1] for step in gradients[4:]], start[1], "Adam", lr=0.01)
    np.testing.assert_allclose(params[1].data, late, rtol=1e-12)


def test_training_reduces_a_loss() -> None:
    vg.manual_seed(0)
    model = nn.Linear(3, 1)
    random = np.random.default_rng(1)
    x = random.normal(size=(64, 3)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0], [0.5]], np.float32)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(200):
        optimizer.zero_grad()
        difference = model(vg.Tensor(x)) - vg.Tensor(y)
        (difference * difference).mean().backward()
        optimizer.step()
    np.testing.assert_allclose(model.weight.data, [[1.0, -2.0, 0.5]], atol=1e-3)


def test_a_step_without_any_gradient_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"SGD\.step: no parameter has a gradient"):
        optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1).step()


def parameter() -> nn.Parameter:
    return nn.Parameter(np.zeros(2, np.float32))


def twice() -> list[nn.Parameter]:
    return [parameter()] * 2


def mixed() -> list[nn.Parameter]:
    return [parameter(), nn.Parameter(np.zeros(2))]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: optim.SGD([], lr=0.1), "SGD: params is empty"),
        (lambda: optim.SGD([vg.Tensor([1.0])], lr=0.1), r"params\[0\] .* does not require"),
        (lambda: optim.SGD(twice(), lr=0.1), "listed twice"),
        (lambda: optim.SGD(mixed(), lr=0.1), "params mix float32 and float64"),
        (lambda: optim.SGD([parameter()], lr=-1.0), "SGD: lr is -1.0"),
        (lambda: optim.SGD([parameter()], lr=math.nan), "SGD: lr is nan"),
        (lambda: optim.SGD([parameter()], lr=math.inf), "SGD: lr is inf"),
        (lambda: optim.SGD([parameter()], lr=0.1, momentum=1.0), "SGD: momentum is 1.0"),
        (lambda: optim.SGD([parameter()], lr=0.1, weight_decay=-1), "SGD: weight_decay is -1"),
        (lambda: optim.SGD([parameter()], lr=0.1, nesterov=True), "nesterov=True needs momentum"),
        (lambda: optim.Adam([parameter()], betas=(1.0, 0.9)), r"Adam: betas\[0\] is 1.0"),
        (lambda: optim.Adam([parameter()], betas=(0.9,)), "Adam: betas is"),
        (lambda: optim.AdamW([parameter()], eps=0.0), "AdamW: eps is 0.0"),
    ],
)
def test_bad_arguments_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_what_is_no_list_of_tensors_is_refused() -> None:
    with pytest.raises(TypeError, match="params is one tensor"):
        optim.SGD(parameter(), lr=0.1)
    with pytest.raises(TypeError, match=r"params\[0\] is str"):
        optim.SGD(["weight"], lr=0.1)  # type: ignore[list-item]


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    optimizer = optim.SGD([parameter()], lr=0.1, momentum=0.9)
    good = optimizer.state_dict()
    with pytest.raises(ValueError, match="state is of 'SGD', not of Adam"):
        optim.Adam([parameter()]).load_state_dict(good)
    with pytest.raises(ValueError, match="lacks arrays; it is damaged"):
        optimizer.load_state_dict({k: v for k, v in good.items() if k != "arrays"})
    with pytest.raises(ValueError, match="state is of 2 parameters"):
        optimizer.load_state_dict({**good, "step_counts": [1, 1]})
    with pytest.raises(ValueError, match=r"momentum\.0 has shape \(5,\)"):
        optimizer.load_state_dict({**good, "arrays": {"momentum.0": np.zeros(5, np.float32)}})
    with pytest.raises(ValueError, match=r"such as momentum\.0"):
        optimizer.load_state_dict({**good, "arrays": {}})
    with pytest.raises(ValueError, match="has the settings"):
        optimizer.load_state_dict({**good, "settings": {"lr": 7.0}})
    assert optimizer.lr == 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_grad_norm_scales_all_gradients_by_one_factor(dtype: Any) -> None:
    params, gradients = problem(dtype)
    for p, gradient in zip(params, gradients[0], strict=True):
        p.grad = vg.Tensor(gradient.copy())
    norm = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients[0]))
    assert optim.clip_grad_norm(params, 2 * norm) == pytest.approx(norm, rel=1e-6)
    for p, gradient in zip(params, gradients[0], strict=True):
        assert p.grad is not None
        assert (p.grad.data == gradient).all()
    assert optim.clip_grad_norm(params, norm / 2) == pytest.approx(norm, rel=1e-6)
    for p, gradient in zip(params, gradients[0], strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.data, gradient / 2, rtol=2e-6)


def test_clip_grad_norm_refuses_nonsense() -> None:
    weight = parameter()
    assert optim.clip_grad_norm([weight], 1.0) == 0.0
    with pytest.raises(ValueError, match=r"max_norm is 0\.0"):
        optim.clip_grad_norm([weight], 0.0)
    weight.grad = vg.Tensor(np.array([np.nan, 1.0], np.float32))
    with pytest.raises(ValueError, match="norm of the gradients is nan"):
        optim.clip_grad_norm([weight], 1.0)
    assert weight.grad.data[1] == 1.0
