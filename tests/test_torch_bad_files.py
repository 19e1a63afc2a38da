"""Malicious, damaged and foreign weights: one ValueError that says why, and nothing is executed."""

from __future__ import annotations

import io
import pickle
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import voxelgrad as vg
from torch_files import GOOD, archive, call, state, storage, tensor, text

read = vg.interop.torch.read


class Runs:
    """What an attacker pickles."""

    def __reduce__(self) -> Any:
        return (print, ("executed",))


# name: (pickle, what the error says)
REFUSED: dict[str, tuple[bytes, str]] = {
    "os.system": (state(call("os", "system", "echo no")), r"'os\.system'; only tensors"),
    "posix.system": (state(call("posix", "system", "echo no")), r"'posix\.system'"),
    "eval": (state(call("builtins", "eval", "1/0")), r"'builtins\.eval'"),
    "getattr": (state(call("builtins", "getattr", "x")), r"'builtins\.getattr'"),
    "torch.load": (state(call("torch", "load", "x.pt")), r"'torch\.load'"),
    "dotted name": (state(call("torch._utils", "os.system", "x")), r"torch\._utils\.os\.system"),
    "stack global": (
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02no\x85R.",
        r"'os\.system'",
    ),
    "pickled object": (pickle.dumps({"w": Runs()}, 2), r"'__builtin__\.print'"),
    "whole class": (pickle.dumps(io.StringIO, 2), "_io.StringIO"),
    "INST": (b"(" + text("no") + b"ios\nsystem\n.", "opcode INST at byte 8"),
    "OBJ": (b"(cos\nsystem\no.", r"'os\.system'"),
    "NEWOBJ": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "opcode NEWOBJ at byte 28"),
    "EXT1": (b"\x80\x02\x82\x01.", "opcode EXT1"),
    "unknown opcode": (b"\x80\x02\xff.", "opcode 0xff at byte 2"),
    "dtype called": (state(b"ctorch\nFloatStorage\n)R"), "nothing to call"),
    "build on a tensor": (state(tensor() + b"}b"), "ndarray lies where"),
    "no stop": (b"\x80\x02}", "ends in the middle"),
    "empty": (b"", "ends in the middle"),
    "long text": (b"X\xff\xff\xff\xffab.", "ends in the middle"),
    "no end of a name": (b"cos", "middle of a name"),
    "empty stack": (b"\x80\x02.", "nothing is there"),
    "no mark": (b"\x80\x02}e.", "there is no mark"),
    "mark as a value": (b"(.", "a Mark lies where"),
    "memo": (b"h\x07.", "recalls value 7"),
    "tuple as key": (b"})Ns.", "a tuple lies where"),
    "odd items": (b"}(" + text("a") + b"u.", "key without a value"),
    "not utf-8": (b"X\x01\0\0\0\xff.", "not UTF-8"),
    "no dictionary": (tensor() + b".", "holds a ndarray, not a dictionary"),
    "empty dictionary": (b"}.", "no dictionary of tensors"),
    "persistent text": (state(text("x") + b"Q"), "no storage"),
    "storage missing": (state(tensor(stored=storage(key="1"))), "'1' are missing"),
    "storage path": (state(tensor(stored=storage(key="../../etc/passwd"))), "are missing"),
    "storage claims": (state(tensor(stored=storage(2**60))), "claims 4,611,686,018,427,387,904"),
    "storage short": (state(tensor(stored=storage(5))), "claims 20 bytes, there are 24"),
    "storage kind": (
        state(tensor(stored=storage(kind=b"torch\nComplexFloatStorage\n"))),
        r"torch\.ComplexFloatStorage",
    ),
    "huge shape": (state(tensor((2**40, 2**20))), "does not fit into its storage"),
    "repeated": (state(tensor((2**40,), (0,))), "does not fit into its storage"),
    "past the end": (state(tensor((2, 3), (3, 1), 1)), "does not fit"),
    "long stride": (state(tensor((2, 3), (4, 1))), "does not fit"),
    "negative stride": (state(tensor((2, 3), (-3, 1), 3)), "cannot be"),
    "negative offset": (state(tensor(offset=-1)), "cannot be"),
    "too large": (state(tensor((2**70,), (1,))), "cannot be"),
    "ranks differ": (state(tensor((2, 3), (3,))), "cannot be"),
    "many axes": (state(tensor((1,) * 99, (1,) * 99)), "cannot be"),
    "empty and huge": (state(tensor((0, 2**61), (1, 1))), "cannot read"),
    "arguments": (state(b"ctorch._utils\n_rebuild_tensor_v2\n)R"), "arguments that are unknown"),
    "parameter": (state(b"ctorch._utils\n_rebuild_parameter\n)R"), "no tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_pickle_that_asks_for_more_is_refused_by_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, message = REFUSED[name]
    (tmp_path / "bad.pt").write_bytes(archive(program))
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path / "bad.pt")
    assert str(caught.value).startswith(f"cannot read {tmp_path / 'bad.pt'}: ")
    assert capsys.readouterr().out == ""


def test_a_hand_made_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "good.pt").write_bytes(archive(GOOD))
    np.testing.assert_array_equal(read(tmp_path / "good.pt")["w"], np.ones((2, 3)))


def test_a_dictionary_within_itself_ends(tmp_path: Path) -> None:
    loop = b"}q\x00" + text("a") + b"h\x00s" + text("b") + b"h\x00s."
    (tmp_path / "loop.pt").write_bytes(archive(loop))
    with pytest.raises(ValueError, match="no dictionary of tensors"):
        read(tmp_path / "loop.pt")


@pytest.mark.parametrize("opening", [b"]", b"}" + text("a"), b"("])
def test_deep_nesting_ends(opening: bytes, tmp_path: Path) -> None:
    (tmp_path / "deep.pt").write_bytes(archive(opening * 100_000 + b"."))
    with pytest.raises(ValueError, match=r"deep\.pt"):
        read(tmp_path / "deep.pt")


def test_compressed_and_overlapping_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    path.write_bytes(archive(GOOD, {"x/data/1": bytes(2**20)}, packed=True))
    with pytest.raises(ValueError, match="entries claim"):
        read(path)
    path.write_bytes(archive(GOOD + bytes(100), {"y": random.Random(0).randbytes(200)}, True))
    with pytest.raises(ValueError, match=r"(compressed|claim)"):
        read(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [({"x/byteorder": b"big"}, "big-endian"), ({"y/data.pkl": GOOD}, r"no data\.pkl")],
)
def test_other_archives_are_refused(
    entries: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.pt").write_bytes(archive(GOOD, entries))
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "content", [b"", b"x", b"PK", b"PK\x03\x04" + bytes(99), b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j"]
)
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot read .*x\.pt: "):
        read(tmp_path / "x.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.pt: No such file.*check the path"):
        read(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_damage_anywhere_gives_an_error_or_arrays_and_takes_no_memory(
    kind: str, tmp_path: Path
) -> None:
    """Every byte is changed, the file is cut everywhere, and random bytes are put in."""
    whole = archive(GOOD)
    if kind == "safetensors":
        whole = safetensors.numpy.save({"w": np.ones((2, 3), np.float32)})
    damaged = [whole[:end] for end in range(0, len(whole), 3)]
    for place in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            damaged.append(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
    assert _peak_of_reading(damaged, tmp_path / "x") < 10 * 2**20


def test_random_pickles_give_only_one_kind_of_error(tmp_path: Path) -> None:
    """The checksums of the archive are right here, so that the interpreter sees the damage."""
    source, damaged = random.Random(0), []
    for _ in range(1000):
        program = bytearray(GOOD)
        for _ in range(source.randint(1, 4)):
            program[source.randrange(len(program))] = source.randrange(256)
        damaged.append(archive(bytes(program)))
    codes = bytes(vg.interop.torch.unpickling._STEPS)
    for _ in range(1000):
        damaged.append(archive(bytes(source.choice(codes) for _ in range(30)) + b"."))
    assert _peak_of_reading(damaged, tmp_path / "x") < 10 * 2**20


def _peak_of_reading(contents: list[bytes], path: Path) -> int:
    tracemalloc.start()
    for content in contents:
        path.write_bytes(content)
        try:
            read(path)
        except ValueError as error:
            assert str(error).startswith(f"cannot read {path}: ")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
