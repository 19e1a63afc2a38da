"""``python -m voxelgrad`` is the command ``voxelgrad``."""

import sys

from voxelgrad.cli import main

sys.exit(main())
