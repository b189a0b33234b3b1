"""Where experiments keep what they have done: one file a result, named by all that the result depends on."""

import ast
import hashlib
import json
import re
import zipfile
from functools import cache as remember
from pathlib import Path

import numpy as np

import nerlib
from nerlib._files import whole_file
from nerlib.results import versions, write_json

_IMPORTED = re.compile(r"^\s*(?:from|import) nerlib(?:\.| import )([\w.]+)", re.MULTILINE)


def result_path(cache, kind, modules, *about):
    """The file of a result: named by all that the result depends on."""
    if cache is None:
        return None
    code = [_code_digest(module) for module in modules]
    key = json.dumps([about, code, versions()], sort_keys=True, default=repr)
    return Path(cache) / f"{hashlib.sha256(key.encode()).hexdigest()}.{kind}"


@remember
def _code_digest(module):
    code = sources(module)
    return hashlib.sha256("".join(code[name] for name in sorted(code)).encode()).hexdigest()


def sources(module):
    """The code of a module and of all it imports from this library; packages and results.py only pass on."""
    found, missing = {}, {module, "nerlib.session"}
    while missing:
        name = missing.pop()
        source = Path(nerlib.__file__).parent.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name not in found and name != "nerlib.results" and source.is_file():
            text = source.read_text()
            found[name] = without_comments(text)
            missing |= {f"nerlib.{imported}" for imported in _IMPORTED.findall(text)}
    return found


def without_comments(source):
    """The code that runs: without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant):
                body[0].value.value = None
    return ast.dump(tree)


def read_arrays(path):
    """The arrays of a file, or None when there is none or it is not what was written."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return dict(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def write_arrays(path, arrays):
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def read_records(path):
    """The records of a file, or None when there is none or it is not what was written."""
    if path is None:
        return None
    try:
        content = json.loads(path.read_text())
        return content["records"] if content["key"] == path.stem else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_records(path, records):
    if path is not None:
        write_json(path, {"key": path.stem, "records": records})
