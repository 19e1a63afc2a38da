"""``cuda_report.py`` with commands that only say what those of a GPU would say."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import cuda_report
from cuda_report import Done
from voxelgrad import backends
from voxelgrad.cli import build_parser


class Commands:
    """Answers commands; ``figures`` says how good the benchmarks are."""

    def __init__(self, ratio: float = 1.5, share: float = 0.9, dice: float = 0.801) -> None:
        self.ratio, self.share, self.dice = ratio, share, dice
        self.run_so_far: list[str] = []
        self.failing: set[str] = set()

    def __call__(self, name: str, command: Sequence[str], variables: Mapping[str, str]) -> Done:
        self.run_so_far.append(name)
        arguments = list(command)
        if arguments[1:3] == ["-m", "voxelgrad"]:
            self._voxelgrad(arguments[3:])
        status = int(name in self.failing)
        return Done(status, f"cuda  available: a device\n1 passed in 2s\nERROR SUMMARY: {status}\n")

    def _voxelgrad(self, arguments: list[str]) -> None:
        parsed = build_parser().parse_args(arguments)  # an option that is not there ends the test
        if arguments[0] == "train":
            dice = self.dice if parsed.device == "cuda" else 0.8
            parsed.out.mkdir()
            self._write(parsed.out / "metrics.json", {"mean": {"mean_dice": dice}})
        elif arguments[0] == "bench":
            self._write(parsed.json, {"results": [self._result("peak"), self._result("bandwidth")]})

    def _result(self, limit: str) -> dict[str, Any]:
        return {
            "name": f"case of {limit}",
            "run": "forward",
            "flops": 1,
            "limit": limit,
            "share": self.share,
            "best_ratio": self.ratio,
            "contenders": {"voxelgrad": {}, "voxelgrad compiled": {}},
        }

    def _write(self, path: Path, value: Any) -> None:
        path.write_text(json.dumps(value))


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(backends, "cuda_problem", lambda: "")
    return ["--out", str(tmp_path / "report"), "--data", str(tmp_path)]


def test_every_step_fills_its_row(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda_report.main(arguments, Commands()) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert len(rows) == len(cuda_report.STEPS) and all(row.endswith("| yes |") for row in rows)
    said = "\n".join(rows)
    for figure in ("available: a device", "1 passed in 2s", "0.8010 and 0.8000", "mean 1.50"):
        assert figure in said
    assert "least 90% (case of bandwidth, forward)" in said and "was captured" in said


def test_commands_of_the_page_are_understood() -> None:
    page = (cuda_report.ROOT / "docs" / "cuda.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("voxelgrad ")]
    assert len(lines) >= 8
    for line in lines:
        build_parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize(
    ("commands", "missed"),
    [
        (Commands(ratio=0.8), ["convolutions", "training steps"]),
        (Commands(share=0.8), ["memory-bound"]),
        (Commands(dice=0.82), ["LGG training"]),
    ],
)
def test_what_is_not_reached_says_so(
    commands: Commands, missed: list[str], arguments: list[str], capsys: Any
) -> None:
    assert cuda_report.main(arguments, commands) == 1
    rows = [row for row in capsys.readouterr().out.splitlines() if row.endswith("| no |")]
    assert [any(word in row for word in missed) for row in rows] == [True] * len(missed)


def test_a_failing_command_is_a_row_and_not_the_end(arguments: list[str], capsys: Any) -> None:
    commands = Commands()
    commands.failing = {"cases", "racecheck", "training-cpu", "kernels-unet2d", "models-mode"}
    assert cuda_report.main(arguments, commands) == 1
    printed = capsys.readouterr().out
    assert printed.count("| no |") == 5 and printed.count("| yes |") == 4
    assert "the training on cpu failed" in printed and "no figures" in printed


def test_steps_that_are_done_are_kept(arguments: list[str], capsys: Any) -> None:
    first, second, third = Commands(), Commands(), Commands()
    assert cuda_report.main([*arguments, "--only", "info", "--only", "cases"], first) == 0
    assert first.run_so_far == ["info", "cases"]
    assert cuda_report.main(arguments, second) == 0
    assert second.run_so_far[0] == "memcheck" and "info" not in second.run_so_far
    assert cuda_report.main([*arguments, "--only", "info"], third) == 0
    assert third.run_so_far == ["info"]
    assert capsys.readouterr().out.count("a device") == 3


def test_without_a_device_it_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(backends, "cuda_problem", lambda: "no device: nobody brought one")
    assert cuda_report.main(["--out", str(tmp_path / "report")], Commands()) == 2
    assert "CUDA is not available: no device" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_command_that_is_not_there_fails_its_step(tmp_path: Path) -> None:
    run = cuda_report.runner(tmp_path)
    done = run("tool", ["no-such-tool-of-cuda"], {})
    assert done.status == 127 and "no-such-tool-of-cuda" in done.text
    done = run("echo", ["sh", "-c", "echo $A; exit 3"], {"A": "words"})
    assert done == Done(3, "words\n")
    assert (tmp_path / "echo.log").read_text() == "$ A=words sh -c echo $A; exit 3\nwords\n"
