"""Every recorded session of the paper: where it is, how to get it, and how to know that it arrived whole."""

import difflib
import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from nerlib.data import DataError

GITHUB = "https://api.github.com/repos/NeuroscienceAI/NER/git/blobs"
DANDI = "https://api.dandiarchive.org/api"
MAZE_VERSION = "dandisets/000128/versions/0.220113.0400"  # published, so it never changes
MAZE_ASSET = "sub-Jenkins/sub-Jenkins_ses-full_desc-train_behavior+ecephys.nwb"


class Unavailable(FileNotFoundError):
    """A session's file is not here and could not be downloaded."""


class NoNetwork(Unavailable):
    """The same, because no connection was possible at all."""


@dataclass(frozen=True)
class Entry:
    """One recorded session of the paper.

    ``blob`` is the id of the file's git blob in the authors' repository, its address and checksum in one. For
    MC_Maze it is None: DANDI is asked for the file's sha256 at the pinned version when it is downloaded, and
    that is kept beside the file in the cache. A copy of MC_Maze in NERLIB_DATA can therefore not be verified
    and is taken as it is.
    """

    name: str
    areas: tuple
    monkey: str
    date: str
    file: str
    blob: str | None = None

    @property
    def checksum(self):
        return f"git:{self.blob}" if self.blob else ""

    @property
    def licence(self):
        return "CC0" if self.blob else "CC-BY-4.0"

    @property
    def address(self):
        return (
            f"{GITHUB}/{self.blob}"
            if self.blob
            else f"{DANDI}/{MAZE_VERSION}/assets/?path={quote(MAZE_ASSET)}"
        )

    @property
    def cached(self):
        return cache_folder() / ("perich" if self.blob else "nwb") / self.file

    @property
    def given(self):
        """The file in NERLIB_DATA or in its subfolder perich/ (MC_Maze: nwb/), or None."""
        if not os.environ.get("NERLIB_DATA"):
            return None
        folder = Path(os.environ["NERLIB_DATA"]).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f"NERLIB_DATA is {folder}, which is no folder; correct it or unset it")
        places = folder / self.file, folder / self.cached.parent.name / self.file
        return next((place for place in places if place.is_file()), None)

    @property
    def path(self):
        """The file in NERLIB_DATA, else in the cache, whether whole or not; None when it is in neither."""
        return self.given or (self.cached if self.cached.is_file() else None)


# monkey, date, areas, git blob id of the authors' file (repository NeuroscienceAI/NER, commit c8bdb72)
_TABLE = """
Chewie 20150313 M1     74ec5d196539d7ed42ce3216fb28548f017b881f
Chewie 20150319 M1     19ba6ebc56eb7d704d0cde704afb5b6f7cc1a662
Chewie 20150629 M1     d27ff1d86b2609d7e374ff3a1f49baa151463ad0
Chewie 20150630 M1     75b405a8a2a34b5115edc3e8d3461419c846fa55
Chewie 20160929 M1,PMd 191d07b0653feb2b65f185b5e2e5add5d8bcacc8
Chewie 20161005 M1,PMd f05a47e8093a3b3ffdbdba3c9a3c048444b71392
Chewie 20161006 M1,PMd 9aeeed5d158acab5e94d2d93c6313a5054bb583d
Chewie 20161007 M1,PMd 6b92f46aa6b77ea2ac8bbffd4c7a1eed52b2f04d
Chewie 20161014 M1,PMd a7ff8946d7f4884f0d948211cae53bb7818650cf
Chewie 20161021 M1,PMd f48b1be0c6d3e9385590529e897309ba0d7e36b9
Mihili 20140217 M1,PMd 0ac9cffbf0a2d8cd02c91ddc0a874fc41cceb2ed
Mihili 20140218 M1,PMd 6e5d8c8ea988804bf39813c97ac1db18909245f2
Mihili 20140303 M1,PMd 3981d9749b3926954efcd127df21a642221fa1a8
Mihili 20140304 M1,PMd f0e41bc727eda84c1c7ce1a87270d17fa2d0f006
Mihili 20140306 M1,PMd 3c656aaa138c00d8d9ce571c456c74463447880f
Mihili 20140307 M1,PMd 7af78920e429fe938c5e2a5b87a338aec9ecd7ce
Han    20171201 S1     c873f85c26d97a64838ec908730ede1d09864279
Han    20171204 S1     4ef22b07c2574f5170edd632808f09b9f25eea8b
Han    20171207 S1     94079d380edaae204c9782e7675483ed483da3bc
"""


ENTRIES = [
    Entry(f"{m}_{date}", tuple(areas.split(",")), m, date, f"{m}_{date}_neural_con_dis_index.mat", blob)
    for m, date, areas, blob in map(str.split, _TABLE.strip().splitlines())
]
ENTRIES.append(Entry("MC_Maze", ("M1+PMd",), "Jenkins", "", MAZE_ASSET.split("/")[1]))


def find_entry(name):
    """The registered session of this name; ValueError with the closest names when there is none."""
    by_name = {entry.name: entry for entry in ENTRIES}
    if name in by_name:
        return by_name[name]
    close = difflib.get_close_matches(str(name), by_name, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(by_name)}"
    raise ValueError(f"unknown session {name!r}; {hint}")


def list_sessions():
    """All recorded sessions of the paper.

    Returns
    -------
    pandas.DataFrame with columns name, areas (tuple), monkey, date, licence, present (bool: the file is here,
    not yet verified) and where (its path, else the address that it would be downloaded from)
    """
    import pandas as pd

    columns = ["name", "areas", "monkey", "date", "licence"]
    table = pd.DataFrame(
        [[getattr(entry, column) for column in columns] for entry in ENTRIES], columns=columns
    )
    paths = [entry.path for entry in ENTRIES]
    table["present"] = [path is not None for path in paths]
    table["where"] = [str(path or entry.address) for path, entry in zip(paths, ENTRIES, strict=True)]
    return table


def fetch(name):
    """The path of a session's file: from NERLIB_DATA, else the cache, else downloaded at a pinned version.

    NERLIB_DATA names a folder that holds the file, itself or in ``perich/`` (MC_Maze: ``nwb/``); NERLIB_CACHE
    replaces the user's cache folder. Every file is checked against its checksum each time (but see ``Entry``
    for MC_Maze). A damaged file in the cache is downloaded again. A download goes to a temporary folder
    and is moved into place once it is verified, so that nothing half-written is ever left.

    Raises
    ------
    ValueError : unknown name
    FileNotFoundError : (Unavailable) absent and not to be downloaded; the message says what to do
    DataError : a file in NERLIB_DATA, or a download, that does not match its checksum
    """
    entry = find_entry(name)
    path = entry.given
    if path:
        if entry.checksum and checksum(path, entry.checksum) != entry.checksum:
            raise DataError(
                f"{path} ({path.stat().st_size} bytes) does not match the checksum {entry.checksum} "
                f"of {name}: it is truncated or changed; delete it to have it downloaded anew"
            )
        return path
    path = entry.cached
    note = path.with_name(path.name + ".checksum")
    expected = entry.checksum or (note.read_text() if note.is_file() else "")
    if path.is_file() and expected:
        if checksum(path, expected) == expected:
            return path
        path.unlink()
    _download(entry, path, note)
    return path


def cache_folder():
    """The folder (Path) that downloads are kept in: NERLIB_CACHE, else the user's cache folder."""
    if os.environ.get("NERLIB_CACHE"):
        return Path(os.environ["NERLIB_CACHE"]).expanduser()
    import pooch

    return Path(pooch.os_cache("nerlib"))


def checksum(path, kind):
    """A file's checksum, of the same kind as ``kind``: "git:…" (id of its git blob) or "sha256:…"."""
    kind = kind.split(":")[0]
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size) if kind == "git" else hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(partial(file.read, 1 << 20), b""):
            digest.update(block)
    return f"{kind}:{digest.hexdigest()}"


def _download(entry, path, note):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
        fresh = Path(folder) / entry.file
        if entry.checksum:
            address, expected = entry.address, entry.checksum
        else:
            address, expected = _ask_dandi(entry, Path(folder))
        _get(entry, address, fresh)
        found = checksum(fresh, expected)
        if found != expected:
            raise DataError(
                f"{entry.name}: what came from {address} ({fresh.stat().st_size} bytes) has the checksum "
                f"{found}, expected {expected}; try again later, or put the file into NERLIB_DATA"
            )
        if not entry.checksum:
            (Path(folder) / note.name).write_text(expected)
            os.replace(Path(folder) / note.name, note)
        os.replace(fresh, path)


def _ask_dandi(entry, folder):
    """Download address and checksum of a DANDI asset at the pinned version."""
    answer = folder / "answer.json"
    try:
        _get(entry, entry.address, answer, progress=False)
        assets = json.loads(answer.read_text())["results"]
        asset = next(a["asset_id"] for a in assets if a["path"] == MAZE_ASSET)
        _get(entry, f"{DANDI}/assets/{asset}/", answer, progress=False)
        digest = json.loads(answer.read_text())["digest"]["dandi:sha2-256"]
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise Unavailable(
            f"{entry.name}: no answer of the expected form from {entry.address}. {_advice(entry)}"
        ) from error
    return f"{DANDI}/assets/{asset}/download/", f"sha256:{digest}"


def _get(entry, address, path, progress=True):
    import pooch
    import requests

    kind = "application/vnd.github.raw" if address.startswith(GITHUB) else "*/*"
    get = pooch.HTTPDownloader(
        progressbar=progress and sys.stderr.isatty(),
        chunk_size=1 << 16,
        headers={"Accept": kind},
        timeout=(10, 60),
    )
    try:
        get(address, str(path), None)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise NoNetwork(f"{entry.name}: no connection to {address}. {_advice(entry)}") from error
    except requests.RequestException as error:
        raise Unavailable(
            f"{entry.name}: download from {address} failed ({error}). {_advice(entry)}"
        ) from error


def _advice(entry):
    source = (
        "https://github.com/NeuroscienceAI/NER (folders data/SU_16M1 and data/SU_3S1)"
        if entry.blob
        else f"https://dandiarchive.org/dandiset/000128 ({MAZE_ASSET})"
    )
    return (
        f"Either set the environment variable NERLIB_DATA to a folder that holds {entry.file}, "
        f"or download that file by hand from {source} into such a folder, or try again with a network."
    )
