"""Damaged files of every kind, always the same ones; ``fuzz_readers.py`` looks for new ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fuzz_readers import damaged, kinds, verdict

FILES = 40  # of each kind


@pytest.mark.filterwarnings("ignore")  # packages warn of what they then refuse
def test_a_damaged_file_is_read_or_refused(tmp_path: Path) -> None:
    for kind in kinds(tmp_path):
        rng = np.random.default_rng(0)
        for number in range(FILES):
            path = tmp_path / f"{number}{kind.ending}"
            path.write_bytes(damaged(kind.examples[number % len(kind.examples)], rng))
            assert verdict(kind, path) in ("read", "refused"), path
