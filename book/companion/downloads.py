"""Downloads of what does not come with the book: `make fetch`. Nothing else downloads.

Sessions, and the embeddings that the paper's authors published (named "authors_embeddings", all together).
"""

import io
import json
import sys
from pathlib import Path

import pooch
import requests
from filelock import FileLock

from companion import authors_embeddings, catalogue
from companion.catalogue import DANDI, ENTRIES, GITHUB, MAZE_ASSET, Entry, Unavailable
from nerlib.data import DataError


def fetch_all(names: list[str] | None = None) -> list[str]:
    """Download and verify what is not here; prints each, returns the messages of failures."""
    failures, embeddings = [], authors_embeddings.ENTRIES
    chosen: list[Entry] = [*ENTRIES, *embeddings] if names is None else []
    for name in names or ():
        chosen += embeddings if name == authors_embeddings.FOLDER else [catalogue.find_entry(name)]
    for entry in chosen:
        try:
            path = fetch(entry)
            print(f"{entry.name}: {path}", flush=True)
        except (Unavailable, DataError) as failure:
            failures.append(str(failure))
            print(f"{entry.name}: failed", flush=True)
    return failures


def fetch(entry: Entry) -> Path:
    """The path of a session's file, downloaded into the cache where it is not here, and verified.

    A download that broke off goes on where it stopped; a damaged file in the cache is replaced. Raises
    FileNotFoundError (Unavailable) where it could not be downloaded, with a message that says what else to
    do; DataError for a file outside the cache, or a download, that fails its checksum.
    """
    path = entry.cached
    if entry.bundled or entry.path not in (None, path):
        return catalogue.find_file(entry)
    note = path.with_name(f"{path.name}.checksum")  # of MC_Maze
    expected = f"git:{entry.blob}" if entry.blob else note.read_text() if note.is_file() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(catalogue.cache_folder() / ".lock"):
        if path.is_file() and catalogue.matches(path, expected):
            return path
        address, expected = (entry.address, expected) if entry.blob else _ask_dandi(entry)
        partial = path.with_name(f"{path.name}.partial")
        if not (partial.is_file() and catalogue.matches(partial, expected)):
            with partial.open("ab") as file:
                _get(entry, address, file, progressbar=sys.stderr.isatty())
        try:
            catalogue.verify(partial, expected, f"{entry.name} from {address}", "run `make fetch` again")
        except DataError:
            partial.unlink()
            raise
        if not entry.blob:
            note.write_text(expected)
        return partial.replace(path)


def _ask_dandi(entry):
    """Download address and checksum of MC_Maze's file at the pinned version."""
    try:
        found = json.loads(_get(entry, entry.address, io.BytesIO()).getvalue())["results"]
        asset = f"{DANDI}/assets/{next(a['asset_id'] for a in found if a['path'] == MAZE_ASSET)}/"
        digest = json.loads(_get(entry, asset, io.BytesIO()).getvalue())["digest"]["dandi:sha2-256"]
    except (ValueError, KeyError, TypeError, StopIteration):
        raise _failed(entry, f"no answer of the expected form from {entry.address}") from None
    return f"{asset}download/", f"sha256:{digest}"


def _get(entry, address, target, progressbar=False):
    """Download with pooch into an open file, from where it ends; the file is returned."""
    headers = {"Accept": "application/vnd.github.raw" if address.startswith(GITHUB) else "*/*"}
    headers |= {"Range": f"bytes={target.tell()}-"} if target.tell() else {}

    def start_over(response, **_):
        """Where the server sends the whole file, or has no more than is here."""
        if response.status_code in (200, 416):
            target.truncate(0)

    options = {"headers": headers, "timeout": (10, 60), "hooks": {"response": start_over}}
    get = pooch.HTTPDownloader(progressbar, chunk_size=1 << 16, **options)
    try:
        get(address, target, None)
    except (requests.ConnectionError, requests.Timeout):
        raise _failed(entry, f"no connection to {address}") from None
    except requests.RequestException as error:
        raise _failed(entry, f"download from {address} failed ({error})") from None
    return target


def _failed(entry, reason):
    source = "https://github.com/NeuroscienceAI/NER (folders data/SU_16M1 and data/SU_3S1)"
    source = source if entry.blob else f"https://dandiarchive.org/dandiset/000128 ({MAZE_ASSET})"
    if isinstance(entry, authors_embeddings.EmbeddingEntry):
        source = f"{entry.address} (as raw content)"
    by_hand = f"or download {entry.file} by hand from {source} into the folder that NERLIB_DATA names"
    return Unavailable(f"{entry.name}: {reason}. Run `make fetch` again with a network, {by_hand}.")


if __name__ == "__main__":
    found = fetch_all(sys.argv[1:] or None)
    sys.exit("\n".join(found) if found else 0)
