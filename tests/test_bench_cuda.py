"""``voxelgrad bench --device cuda`` on tiny cases: on the emulated device, or on a real one.

Emulated, the workers are objects of this process: the command, the kernels, the networks, the clock
and the memory are what they are on a device; only the times mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxelgrad as vg
from cuda_device import IS_REAL, backend, products_by
from test_bench import TINY
from voxelgrad import backends
from voxelgrad.bench import networks, processes
from voxelgrad.bench.cases import read_cases
from voxelgrad.bench.device_limits import product_limits
from voxelgrad.bench.worker import Session
from voxelgrad.cli import main

SMALL = ["--device", "cuda", "--runs", "1", "--memory-mb", "1", "--threads", "1"]


class InProcess:
    """A worker without a process of its own."""

    def __init__(self, contender: processes.Contender) -> None:
        self.contender = contender
        self.session = Session(contender.library)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.session.answer(json.loads(json.dumps(request)))
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def close(self) -> None:
        self.session.passes = {}


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    backend()
    if not IS_REAL:
        monkeypatch.setattr(processes, "Worker", InProcess)
    yield
    backend().allow_tf32(False)
    backends._loaded.pop("cuda", None)


@pytest.fixture
def shapes(tmp_path: Path) -> str:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps({"cases": TINY}))
    return str(path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_pass_of_every_case_is_measured(
    shapes: str, dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "kernels.json"
    assert main(["bench", "kernels", shapes, *SMALL, "--dtype", dtype, "--json", str(out)]) == 0
    printed = capsys.readouterr()
    figures = json.loads(out.read_text())
    measured = [(row["name"], row["run"]) for row in figures["results"]]
    assert measured == [(case.name, name) for case in read_cases([shapes]) for name in case.passes]
    assert "left out" not in printed.err
    about = figures["machine"]["device"]
    assert about["name"] in printed.out.splitlines()[0] and about["multiprocessors"] > 0
    assert figures["limits"]["dtype"] == dtype and figures["limits"]["bandwidth_gbs"] > 0
    assert "faults" not in printed.out
    for row in figures["results"]:
        own = row["contenders"]["voxelgrad"]
        assert own["median"] > 0 and len(own["seconds"]) == 1 and "page_faults" not in own
        assert row["limit"] == "peak" or f"of the {row['limit']}" in printed.out
        assert row["share"] > 0


def test_tf32_is_allowed_and_measured_against_its_own_peak(
    shapes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "kernels", shapes, *SMALL, "--only", "linear", "--tf32"]
    assert main(command) == 0
    assert "tf32 peak" in capsys.readouterr().out
    assert main(command[:-1]) == 0
    assert "float32 peak" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "dtype"), [("lenet", "float32"), ("unet2d", "bfloat16")])
def test_models_train_and_infer(
    name: str,
    dtype: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(networks._BUILDERS, "unet2d", lambda: vg.models.UNet(4, 4, features=(4, 8)))
    out = tmp_path / "models.json"
    command = ["bench", "models", "--only", name, "--batch", "1", "--size", "8", *SMALL]
    assert main([*command, "--dtype", dtype, "--json", str(out)]) == 0
    printed = capsys.readouterr()
    training, inference = json.loads(out.read_text())["results"]
    assert (training["run"], inference["run"]) == ("training", "inference")
    weights = 4 * sum(p.numpy().size for p in networks._BUILDERS[name]().parameters())
    for row in (training, inference):
        assert set(row["contenders"]) == {"voxelgrad", "voxelgrad compiled"}
        assert all(c["peak_bytes"] > weights for c in row["contenders"].values())
    assert "left out" not in printed.err


def test_limits_cover_arithmetic_and_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "limits.json"
    assert main(["bench", "limits", *SMALL, "--json", str(out)]) == 0
    limits = json.loads(out.read_text())["limits"]
    assert [limit["name"] for limit in limits if "wgmma" not in limit["name"]] == [
        *("fma float32", "products bfloat16", "products tf32"),
        *("memory read", "memory copy", "memory triad"),
    ]
    assert all(limit["rate"] > 0 and len(limit["seconds"]) == 1 for limit in limits)
    assert "thread" not in "".join(capsys.readouterr().out.splitlines()[1:])


def test_probes_do_the_work_that_they_count() -> None:
    cuda = backend()
    output = cuda.empty((512,))
    # Eight sums s of which each becomes s / 2 + 1, 16 times a round: 2 - (2 - c) / 2^16.
    assert cuda.run_fma(1, output) == 2 * 16 * 8 * 512
    expected = sum(2 - (2 - c) / 2.0**16 for c in range(8))
    np.testing.assert_allclose(cuda.to_host(output), expected, rtol=1e-6)
    # Ones times ones: every sum grows by the steps of a product, 16 times 8 chains of four.
    for kind, steps in (("bfloat16", 16), ("tf32", 8)):
        assert cuda.run_products(kind, 2, output) == 2 * 16 * 8 * (512 // 32) * 2 * 16 * 8 * steps
        np.testing.assert_array_equal(cuda.to_host(output), 2 * 16 * 8 * 4 * steps)


def test_warpgroups_are_probed_where_the_device_has_them() -> None:
    cuda = backend()
    output = cuda.empty((256,))
    with products_by("wgmma"):
        # Two warpgroups multiply 64 x 64 by 64 x 128 four times in both rounds.
        assert cuda.run_products("warpgroups", 2, output) == 2 * 2 * 4 * 2 * 64 * 64 * 128
        # A thread has 64 sums, which 64 steps make grow.
        np.testing.assert_array_equal(cuda.to_host(output), 64 * 64 * 2 * 4)
        names = [limit.name for limit in product_limits(1, ["tf32", "warpgroups"])]
        assert names == ["products tf32", "products bfloat16 wgmma"]
    if not IS_REAL:
        assert not cuda.has_warpgroups()
        with pytest.raises(ValueError, match="no products by warpgroups"):
            cuda.run_products("warpgroups", 1, output)


def test_probes_of_the_memory_touch_every_byte() -> None:
    cuda = backend()
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-9, 9, 8192).astype(np.float32) for _ in range(2))
    there = [cuda.from_host(a), cuda.from_host(b)]
    output = cuda.empty((8192,))
    assert cuda.run_bandwidth("copy", *there, output, 1) == 2 * 4 * 8192
    np.testing.assert_array_equal(cuda.to_host(output), a)
    assert cuda.run_bandwidth("triad", *there, output, 3) == 3 * 3 * 4 * 8192
    np.testing.assert_allclose(cuda.to_host(output), a + 0.999 * b, rtol=1e-6, atol=1e-6)
    assert cuda.run_bandwidth("read", *there, output, 1) == 4 * 8192
    assert cuda.to_host(output)[: 8192 // 512].sum() == a.sum()


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("run_fma", (1, 100), "run_fma: output has shape"),
        ("run_fma", (-1, 256), "rounds is -1"),
        ("run_products", ("fp8", 1, 256), "kind 'fp8' is unknown; choose bfloat16, tf32"),
        ("run_bandwidth", ("write", 4096, 4096, 4096, 1), "kind 'write' is unknown"),
        ("run_bandwidth", ("read", 4096, 4096, 8192, 1), "output"),
        ("run_bandwidth", ("read", 100, 100, 100, 1), "multiple of 4096"),
        ("run_bandwidth", ("read", 4096, 4096, 4096, -1), "rounds is -1"),
    ],
)
def test_probes_refuse_what_they_cannot_do(name: str, arguments: Any, said: str) -> None:
    cuda = backend()
    given = [cuda.empty((a,)) if type(a) is int and a >= 100 else a for a in arguments]
    with pytest.raises(ValueError, match=said):
        getattr(cuda, name)(*given)


def test_the_clock_knows_the_peak_of_memory() -> None:
    cuda = backend()
    held = cuda.zeros((1000,))

    def work() -> None:
        first = cuda.empty((100_000,))
        del first
        cuda.empty((10_000,))

    before = cuda.memory_statistics()["in_use"]
    assert 400_000 <= cuda.device().peak_of(work) - before < 401_000
    assert cuda.device().peak_of(lambda: None) == before >= held.nbytes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kernels", "--algorithm", "direct"], "--algorithm is for the CPU"),
        (["models", "--against", "openvino"], "--against openvino|openvino takes part on the CPU"),
        (["models", "--compile", "fastest"], "--compile 'fastest' is unknown"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments, *SMALL]) == 2
    printed = capsys.readouterr()
    assert any(part in printed.err for part in said.split("|")) and not printed.out
