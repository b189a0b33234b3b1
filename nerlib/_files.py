"""Atomic writing of files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which replaces ``path`` when the block ends without an error."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {path.parent}")
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        yield partial
        umask = os.umask(0)  # there is no other way to read it
        os.umask(umask)
        partial.chmod(0o666 & ~umask)  # some writers make files for their owner alone
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
