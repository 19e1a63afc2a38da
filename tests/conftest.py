"""What holds for all tests."""

from __future__ import annotations

import os

# Set before numpy is loaded: the reference multiplies many small matrices, for which the threads of
# a BLAS cost more than they bring, most of all on a busy machine.
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# Tests that say so run with emulated AMX: tests/test_amx_emulation.py.
if os.environ.get("VOXELGRAD_TEST_AMX") == "emulated":
    import amx_emulation

    amx_emulation.install()
