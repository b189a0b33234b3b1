"""Files that appear whole or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def whole_file(path):
    """A path to write to; what is written there takes the place of ``path`` once it is complete.

    A reader sees the old file or the new one, never a part; after an error the old one stays.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
