"""Damaged files of every kind, always the same ones; ``fuzz_readers.py`` looks for new ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_kinds import CORPUS, KINDS, Kind
from fuzz_readers import damaged_file
from fuzz_worker import READ, REFUSED, Worker, available, running_worker

FILES = 25  # damaged ones of each kind
BROKEN = {
    "_leak": "an undocumented KeyError",
    "_say_nothing": "an error of 0 characters",
    "_name_no_file": "an error that does not name the file",
    "_talk": "an error of 8",
    "_take_memory": "took more than 64 MiB",
    "_crash": "the process ended: SIGSEGV",
    "_hang": "took more than 2 s",
    "_refuse": REFUSED,
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with running_worker() as started:
        yield started


@pytest.fixture(scope="module")
def broken() -> Iterator[Worker]:
    with running_worker("broken_kinds", 2.0) as started:
        yield started


@pytest.mark.parametrize("kind", available(KINDS), ids=lambda kind: kind.name)
def test_sound_files_are_read_and_damaged_ones_read_or_refused(
    kind: Kind, worker: Worker, tmp_path: Path
) -> None:
    assert kind.sound, "the corpus has no file of this kind: run make_corpus.py"
    for path in kind.sound:
        assert worker.verdict(kind.name, Path(shutil.copy(path, tmp_path))) == READ
    for path in kind.found:
        assert worker.verdict(kind.name, Path(shutil.copy(path, tmp_path))) in (READ, REFUSED), path
    for number in range(FILES):
        path = tmp_path / f"damaged{kind.ending}"
        path.write_bytes(damaged_file(kind, 0, number))
        assert worker.verdict(kind.name, path) in (READ, REFUSED), number


def test_every_folder_of_the_corpus_has_a_reader() -> None:
    assert set(CORPUS.iterdir()) == {kind.folder for kind in KINDS}


@pytest.mark.parametrize("name", BROKEN)
def test_a_reader_that_breaks_the_rule_is_noticed(
    name: str, broken: Worker, tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"content")
    assert broken.verdict(name, path).startswith(BROKEN[name])
