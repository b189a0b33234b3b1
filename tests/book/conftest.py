"""The runner's own modules stand in the book's folder, outside the library."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "book"))
