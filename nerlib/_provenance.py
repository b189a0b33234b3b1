"""What a result depends on besides its data: a digest of the source code, and the versions of packages."""

import ast
import hashlib
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import nerlib


@cache
def source_digest(*folders: str | Path) -> str:
    """Digest of all Python code below some folders (default: nerlib), without comments and docstrings.

    Two checkouts with the same digest compute the same; editing prose does not change it.
    """
    digest = hashlib.sha256()
    for folder in map(Path, folders or (Path(nerlib.__file__).parent,)):
        for path in sorted(folder.rglob("*.py")):
            code = without_comments(path.read_text(encoding="utf-8"))
            digest.update(f"{path.relative_to(folder).as_posix()}\0{code}".encode())
    return digest.hexdigest()


def without_comments(source: str) -> str:
    """The code that runs, as text: without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None
    return ast.unparse(tree)


def versions() -> dict[str, str]:
    """Versions of nerlib, Python and the numerical packages that are installed."""
    found = {"nerlib": nerlib.__version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "scipy", "scikit-learn", "numba", "umap-learn"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
