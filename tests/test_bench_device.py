"""What the benchmarks of CUDA devices decide without one: runs, contenders, settings, errors."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from voxelgrad import backends
from voxelgrad.backends import cuda_device
from voxelgrad.bench import machine
from voxelgrad.bench.cases import Case
from voxelgrad.bench.device_contenders import COMPILE_MODES, device_contenders
from voxelgrad.bench.device_timing import DeviceRuns, Run, plan_run, time_run
from voxelgrad.bench.limits import Roof
from voxelgrad.bench.results import Result, result_lines
from voxelgrad.bench.timing import Timing
from voxelgrad.cli import main


class Device:
    """A device whose work takes the seconds that it is told."""

    def __init__(self, read: float = 1e-4) -> None:
        self.now, self.read, self.reads = 0.0, read, 0

    def record(self) -> float:
        return self.now

    def seconds(self, start: float, end: float) -> float:
        return end - start

    def read_past_cache(self) -> None:
        self.now += self.read
        self.reads += 1

    def peak_of(self, function: Callable[[], object]) -> int:
        function()
        return int(self.now * 1e6)

    def free(self) -> None:
        pass

    def work(self, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds

        return run


def test_reads_past_the_cache_do_not_count() -> None:
    device = Device()
    assert time_run(device, device.work(0.002), Run(5, 3)) == pytest.approx(0.002)
    assert device.reads == 15
    assert time_run(device, device.work(0.002), Run(5, 0)) == pytest.approx(0.002)
    assert device.reads == 15


def test_kernels_run_ten_milliseconds_and_networks_a_hundred() -> None:
    device = Device()
    assert plan_run(device, device.work(0.001), is_kernel=True).calls == 10
    assert plan_run(device, device.work(0.001), is_kernel=False) == Run(100, 0)
    assert plan_run(device, device.work(1e-6), is_kernel=True).calls == 100
    assert plan_run(device, device.work(1e-6), is_kernel=False) == Run(1000, 0)
    assert plan_run(device, device.work(9.0), is_kernel=False) == Run(3, 0)


def test_reads_last_longer_than_the_host_needs_to_queue_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device(read=1e-4)
    monkeypatch.setattr("voxelgrad.bench.device_timing._host_seconds", lambda *_: 2.2e-4)
    assert plan_run(device, device.work(0.001), is_kernel=True).reads == 1 + 5


def test_a_recorded_step_has_the_peak_of_what_recorded_it() -> None:
    for is_recorded, calls in ((False, 4), (True, 3)):
        device = Device()
        runs = DeviceRuns(device, is_kernel=False, is_recorded=is_recorded)
        function = device.work(1.0)
        runs.warm_up("step", function)
        measured = runs.measure("step", function)
        assert measured == {"seconds": 1.0, "peak_bytes": calls * 1_000_000}


COMMON = {"threads": 2, "dtype": "bfloat16", "tf32": False}


def test_torch_takes_part_tuned_compiled_and_as_graphs() -> None:
    pytest.importorskip("torch")
    found = {c.name: c for c in device_contenders(["torch"], COMMON, COMPILE_MODES, True)}
    modes = [f"compile {mode}" for mode in COMPILE_MODES]
    assert list(found) == [
        "voxelgrad",
        "torch default",
        *(f"torch nchw {kind}" for kind in ("tuned", "graph", *modes)),
        *(f"torch channels_last {kind}" for kind in ("tuned", "graph", *modes)),
    ]
    assert all(COMMON.items() <= c.settings.items() for c in found.values())
    assert {c.settings["device"] for c in found.values()} == {"cuda"}
    assert "tuned" not in found["torch default"].settings
    best = found["torch channels_last compile reduce-overhead"].settings
    assert best["tuned"] and best["compile"] == "reduce-overhead"
    assert best["layout"] == "channels_last"
    assert found["torch nchw graph"].settings["graph"]


@pytest.fixture
def torch_switches() -> Iterator[Any]:
    torch = pytest.importorskip("torch")
    switches = [
        (torch.backends.cuda.matmul, "fp32_precision"),
        (torch.backends.cudnn.conv, "fp32_precision"),
        (torch.backends.cudnn, "benchmark"),
    ]
    before = [getattr(*switch) for switch in switches]
    yield torch
    for (place, name), value in zip(switches, before, strict=True):
        setattr(place, name, value)


def test_torch_computes_ieee_float32_unless_tf32_is_asked_for(torch_switches: Any) -> None:
    from voxelgrad.bench import torch_device

    torch = torch_switches
    for tf32, precision in ((True, "tf32"), (False, "ieee")):
        torch_device.configure({"tf32": tf32, "tuned": tf32})
        assert torch.backends.cuda.matmul.fp32_precision == precision
        assert torch.backends.cudnn.conv.fp32_precision == precision
        assert torch.backends.cudnn.benchmark is tf32
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="finds no CUDA device"):
            torch_device.connect({"tf32": False})


COMMANDS = [["bench", "limits"], ["bench", "kernels"], ["bench", "models"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_device_one_error_says_why(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backends, "cuda_problem", lambda: "no device: nobody brought one")
    assert main([*command, "--device", "cuda"]) == 2
    printed = capsys.readouterr()
    assert printed.err == (
        "voxelgrad: error: --device cuda: CUDA is not available: no device: nobody brought one\n"
    )
    assert not printed.out


def test_tf32_on_the_cpu_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "kernels", "--tf32"]) == 2
    assert "--tf32 is for CUDA devices" in capsys.readouterr().err


def test_a_share_is_that_of_the_limit_that_takes_longer() -> None:
    """conv: 1x1 on few channels moves bytes; 3x3 on many computes."""
    roof = Roof(peak=1000.0, bandwidth=10.0)
    for case, limit in (
        (Case("conv", 8, 8, (64, 64), 8), "bandwidth"),
        (Case("conv", 8, 512, (16, 16), 512, kernel=3, padding=1), "peak"),
        (Case("relu", 8, 8, (64, 64)), "bandwidth"),
    ):
        flops, moved = case.flops, case.bytes_moved("forward")
        result = Result("x", "forward", flops, moved, {"voxelgrad": Timing((1.0,))})
        assert result.limit(roof) == limit
        least = max(flops / 1000e9, moved / 10e9)
        assert result.share(roof) == pytest.approx(least)
        assert f"of the {limit}" in result_lines(result, roof)[0]


def test_the_commit_is_that_of_the_checkout(tmp_path: Path, monkeypatch: Any) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(machine, "_PACKAGE", tmp_path / "python" / "voxelgrad")
    assert machine.commit() == ""
    git("init", "-q")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    head = git("rev-parse", "--short=12", "HEAD")
    assert machine.commit() == head
    (tmp_path / "file").write_text("two")
    assert machine.commit() == head + "+" and machine.commit() in machine.version_line()


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build\n",
    ],
)
def test_the_driver_says_its_version(text: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(cuda_device, "_DRIVER", tmp_path / "version")
    assert cuda_device._driver_version() == ""
    (tmp_path / "version").write_text(text)
    assert cuda_device._driver_version() == "550.54.15"
