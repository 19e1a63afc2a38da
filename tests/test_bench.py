"""``voxelgrad bench`` on tiny cases: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from voxelgrad.backends import cpu
from voxelgrad.bench.cases import Case, read_cases, set_names
from voxelgrad.bench.limits import thread_count
from voxelgrad.bench.networks import NETWORKS, Network
from voxelgrad.cli import main

SMALL = ["--runs", "1", "--memory-mb", "1", "--threads", "1"]
TINY = [
    {"op": "conv", "batch": 1, "channels": 3, "size": [6, 5], "filters": 4, "kernel": 3},
    {"op": "conv_transpose", "batch": 1, "channels": 4, "size": [3, 2, 2], "filters": 2}
    | {"kernel": 2, "stride": 2},
    {"op": "linear", "batch": 2, "channels": 3, "filters": 4},
    *(
        {"op": op, "batch": 2, "channels": 4, "size": [4, 6]}
        for op in ("max_pool", "avg_pool", "batch_norm", "instance_norm", "relu", "add")
    ),
    {"op": "concat", "batch": 1, "channels": 4, "size": [4, 4]},
    {"op": "interpolate", "batch": 1, "channels": 4, "size": [4, 4]},
]


@pytest.fixture
def shapes(tmp_path: Path) -> str:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps({"cases": TINY}))
    return str(path)


def test_every_pass_of_every_case_is_measured(
    shapes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures" / "kernels.json"
    assert main(["bench", "kernels", shapes, *SMALL, "--json", str(out)]) == 0
    printed = capsys.readouterr()
    figures = json.loads(out.read_text())
    measured = [(row["name"], row["run"]) for row in figures["results"]]
    assert measured == [(case.name, name) for case in read_cases([shapes]) for name in case.passes]
    assert figures["machine"]["threads"] == 1 and figures["limits"]["peak_gflops"] > 0
    for row in figures["results"]:
        own = row["contenders"]["voxelgrad"]
        assert own["min"] <= own["median"] <= own["max"] and len(own["seconds"]) == 1
        assert row["rate"] == pytest.approx((row["flops"] or row["bytes"]) / own["median"] / 1e9)
        assert row["unit"] == ("GFLOP/s" if row["flops"] else "GB/s") and row["ratios"] == {}
    assert all(name in printed.out for name, _ in measured)
    assert "left out" not in printed.err


def test_a_forced_algorithm_leaves_out_what_it_does_not_accept(
    shapes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "kernels", shapes, *SMALL, "--only", "conv"]
    assert main([*command, "--algorithm", "winograd"]) == 0
    printed = capsys.readouterr()
    assert "'winograd' was asked for" in printed.err
    assert "conv 1x3x6x5" in printed.out and "conv_transpose" not in printed.out
    assert main([*command[:-1], "conv_transpose", "--algorithm", "winograd"]) == 2
    assert "nothing could be measured" in capsys.readouterr().err


def test_limits_cover_every_kind(tmp_path: Path) -> None:
    out = tmp_path / "limits.json"
    assert main(["bench", "limits", *SMALL, "--json", str(out)]) == 0
    limits = json.loads(out.read_text())["limits"]
    names = {limit["name"] for limit in limits}
    assert {"fma baseline", "memory spread past cache", "cache read", "memory write"} <= names
    assert all(limit["rate"] > 0 and limit["threads"] == 1 for limit in limits)
    of_the_cache = sorted(name for name in names if name.startswith("cache "))
    assert of_the_cache == ["cache copy", "cache read", "cache triad", "cache write"]


def test_kernels_run_in_bfloat16(shapes: str, tmp_path: Path) -> None:
    out = tmp_path / "kernels.json"
    command = ["bench", "kernels", shapes, *SMALL, "--only", "conv", "--dtype", "bfloat16"]
    assert main([*command, "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert figures["limits"]["dtype"] == "bfloat16"
    cases = {case.name: case for case in read_cases([shapes])}
    for row in figures["results"]:
        assert row["bytes"] == cases[row["name"]].bytes_moved(row["run"], 2)


@pytest.mark.parametrize("name", ["mlp", "unet2d"])
def test_models_train_and_infer(name: str, tmp_path: Path) -> None:
    out = tmp_path / "models.json"
    command = ["bench", "models", "--only", name, "--batch", "1", "--size", "32", *SMALL]
    assert main([*command, "--json", str(out)]) == 0
    training, inference = json.loads(out.read_text())["results"]
    assert (training["run"], inference["run"]) == ("training", "inference")
    assert training["flops"] == 3 * inference["flops"] > 0
    assert training["contenders"]["voxelgrad"]["peak_bytes"] > 0
    for row in (training, inference):
        assert set(row["contenders"]) == {"voxelgrad", "voxelgrad compiled"} and not row["ratios"]


def test_torch_takes_part_with_default_and_best_settings(shapes: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "kernels.json"
    command = ["bench", "kernels", shapes, *SMALL, "--against", "torch", "--json", str(out)]
    assert main(command) == 0
    for row in json.loads(out.read_text())["results"]:
        medians = {name: c["median"] for name, c in row["contenders"].items()}
        own = medians.pop("voxelgrad")
        assert set(medians) == {"torch default", "torch nchw kept", "torch channels_last kept"}
        assert row["ratios"] == pytest.approx({n: m / own for n, m in medians.items()})
        assert row["best_ratio"] == min(row["ratios"].values())


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_twins_have_the_same_parameters(network: Network) -> None:
    torch_networks = pytest.importorskip("voxelgrad.bench.torch_networks", exc_type=ImportError)
    ours = [math.prod(p.shape) for p in network.build().parameters()]
    theirs = [p.numel() for p in torch_networks.build(network.name).parameters()]
    assert sorted(ours) == sorted(theirs)


def test_the_files_of_cases_are_sound() -> None:
    assert {"table", "layers", "unet2d", "unet3d", "cnn", "resnet", "odd"} == set(set_names())
    assert all(read_cases([name]) for name in set_names())


def test_work_is_that_of_direct_convolution() -> None:
    case = Case("conv", 8, 64, (120, 120), 128, kernel=3, stride=2, padding=1)
    assert case.output_shape == (8, 60, 60, 128)
    assert case.flops == 2 * 8 * 60 * 60 * 128 * 9 * 64
    assert Case("relu", 1, 16, (8,)).bytes_moved("forward") == 2 * 4 * 128


def test_the_roofline_is_a_picture(shapes: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "roofline.png"
    command = ["bench", "kernels", shapes, *SMALL, "--only", "linear", "--plot", str(out)]
    assert main(command) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kernels", "nothing"], "'nothing'"),
        (["kernels", "--only", "conv 9x9x9"], "conv 9x9x9"),
        (["kernels", "--algorithm", "fastest"], "fastest"),
        (["kernels", "--against", "jax"], "'jax'"),
        (["models", "--only", "vit"], "'vit'"),
        (["kernels", "missing.json"], "missing.json"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments, *SMALL]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and not printed.out


@pytest.mark.parametrize(
    "case",
    [
        {"op": "conv"},
        {"op": "fft", "batch": 1, "channels": 1},
        {"op": "relu", "batch": 0, "channels": 1, "size": [4]},
        {"op": "relu", "batch": 1, "channels": 1, "size": [4], "speed": 9},
        {"op": "conv", "batch": 1, "channels": 1, "size": [2, 2], "filters": 1, "kernel": 5},
        {"op": "relu", "batch": "two", "channels": 1},
        "relu",
    ],
)
def test_malformed_cases_are_refused(case: object, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"cases": [case]}))
    with pytest.raises(ValueError, match=r"bad\.json: case 1"):
        read_cases([str(path)])


@pytest.mark.parametrize("kind", ["copy_past_cache", "spread_past_cache", "gather_past_cache"])
def test_traffic_counts_what_it_moves(kind: str) -> None:
    a, output = cpu.empty((4096,)), cpu.empty((4096,))
    a[:], output[:] = np.arange(4096), -1.0
    with thread_count(1):
        moved = cpu.run_bandwidth(kind, a, a, output, 2)
    written = output[output >= 0]
    if kind == "spread_past_cache":  # whole vectors, four times each
        numbers, times = np.unique(written, return_counts=True)
        assert np.array_equal(numbers, a[:1024]) and set(times) == {4}
        read = 1024
    else:
        assert written.sum(dtype=np.float64) == a.sum(dtype=np.float64)
        read = 4096
    assert moved == 2 * 4 * (read + written.size)
    assert written.size == (1024 if kind == "gather_past_cache" else 4096)
