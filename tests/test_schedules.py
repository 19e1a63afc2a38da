"""Schedules are pure functions of the step; the counter feeds the optimizer and resumes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from voxelgrad import nn, optim


def optimizer(lr: float = 0.5) -> optim.Optimizer:
    return optim.SGD([nn.Parameter(np.zeros(1, np.float32))], lr=lr)


BUILDERS = {
    "step": lambda o: optim.StepLR(o, every=3, factor=0.5),
    "cosine": lambda o: optim.CosineLR(o, total_steps=10, final_lr=0.01),
    "polynomial": lambda o: optim.PolynomialLR(o, total_steps=10),
    "one-cycle": lambda o: optim.OneCycleLR(o, total_steps=10),
    "warm-up": lambda o: optim.WarmUp(optim.CosineLR(o, total_steps=6), steps=4, start_factor=0.1),
}


def test_values_by_hand() -> None:
    step = optim.StepLR(optimizer(1.0), every=3, factor=0.5)
    assert [step.lr(t) for t in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    cosine = optim.CosineLR(optimizer(1.0), total_steps=4, final_lr=0.2)
    expected = [0.2 + 0.4 * (1 + math.cos(math.pi * t / 4)) for t in range(5)]
    assert [cosine.lr(t) for t in range(5)] == pytest.approx(expected)
    assert cosine.lr(99) == pytest.approx(0.2)
    polynomial = optim.PolynomialLR(optimizer(1.0), total_steps=4, power=2.0)
    assert [polynomial.lr(t) for t in range(6)] == [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    warm = optim.WarmUp(optim.StepLR(optimizer(1.0), every=2), steps=4, start_factor=0.2)
    assert [warm.lr(t) for t in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.1])


def test_one_cycle_rises_to_the_base_rate_and_falls() -> None:
    cycle = optim.OneCycleLR(optimizer(1.0), total_steps=101, rise=0.5)
    rates = [cycle.lr(t) for t in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == pytest.approx(1.0, rel=1e-3)
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(
    ("name", "peer", "settings"),
    [
        ("step", "StepLR", {"step_size": 3, "gamma": 0.5}),
        ("cosine", "CosineAnnealingLR", {"T_max": 10, "eta_min": 0.01}),
        ("polynomial", "PolynomialLR", {"total_iters": 10, "power": 0.9}),
        ("one-cycle", "OneCycleLR", {"max_lr": 0.5, "total_steps": 10, "cycle_momentum": False}),
    ],
)
def test_schedules_agree_with_pytorch(name: str, peer: str, settings: Any) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = getattr(torch.optim.lr_scheduler, peer)(theirs, **settings)
    ours = BUILDERS[name](optimizer())
    for step in range(10):
        assert ours.lr(step) == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-9, abs=1e-15)
        theirs.step()
        if step < 9:
            schedule.step()


@pytest.mark.parametrize("name", BUILDERS)
def test_the_first_step_runs_at_the_first_rate_and_step_goes_on(name: str) -> None:
    trained = optimizer()
    schedule = BUILDERS[name](trained)
    for step in range(12):
        assert trained.lr == schedule.lr(step)
        schedule.step()


@pytest.mark.parametrize("name", BUILDERS)
def test_resuming_gives_the_same_rates(name: str) -> None:
    schedule = BUILDERS[name](optimizer())
    for _ in range(5):
        schedule.step()
    state = json.loads(json.dumps(schedule.state_dict()))
    trained = optimizer(0.123)
    resumed = BUILDERS[name](trained)
    resumed.load_state_dict(state)
    assert trained.lr == schedule.lr(5)
    resumed.step()
    schedule.step()
    assert trained.lr == schedule.optimizer.lr


def test_a_state_of_another_schedule_is_refused() -> None:
    schedule = BUILDERS["cosine"](optimizer())
    with pytest.raises(ValueError, match="state is of 'StepLR', not of CosineLR"):
        schedule.load_state_dict(BUILDERS["step"](optimizer()).state_dict())
    with pytest.raises(ValueError, match="lacks base_lr or last_step"):
        schedule.load_state_dict({"kind": "CosineLR"})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda o: optim.StepLR(o, every=0), "StepLR: every is 0"),
        (lambda o: optim.StepLR(o, every=1, factor=0.0), "StepLR: factor is 0.0"),
        (lambda o: optim.CosineLR(o, total_steps=1.5), "CosineLR: total_steps is 1.5"),
        (lambda o: optim.CosineLR(o, total_steps=5, final_lr=-1), "CosineLR: final_lr is -1"),
        (lambda o: optim.PolynomialLR(o, total_steps=5, power=0), "PolynomialLR: power is 0"),
        (lambda o: optim.OneCycleLR(o, total_steps=5, rise=1.0), "OneCycleLR: rise is 1.0"),
        (lambda o: optim.OneCycleLR(o, total_steps=3), "leaves no step to rise"),
        (lambda o: optim.OneCycleLR(o, 10, start_divisor=0.5), "start_divisor is 0.5"),
        (lambda o: optim.WarmUp(optim.StepLR(o, 5), steps=0), "WarmUp: steps is 0"),
        (lambda o: optim.WarmUp(optim.StepLR(o, 5), 5, start_factor=2), "start_factor is 2"),
    ],
)
def test_bad_arguments_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(optimizer())


def test_warm_up_refuses_a_schedule_that_has_run() -> None:
    schedule = BUILDERS["cosine"](optimizer())
    schedule.step()
    with pytest.raises(ValueError, match="has already run"):
        optim.WarmUp(schedule, steps=2)
