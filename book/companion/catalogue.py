"""The paper's recorded sessions: where the file of each is, and how to verify and read it.

Eleven come with the book, in book/recordings. The others are read from NERLIB_DATA or from the cache, which
`make fetch` fills (`companion.downloads`); nothing here touches the network.
"""

import difflib
import hashlib
import os
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pooch

from companion.authors_files import read_authors_mat
from nerlib.data import MAZE_SCHEMA, DataError, read_nwb, simulate_session
from nerlib.data.preprocess import kernel, smooth
from nerlib.session import Session

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
GITHUB = "https://api.github.com/repos/NeuroscienceAI/NER/git/blobs"
DANDI = "https://api.dandiarchive.org/api"
MAZE_VERSION = "dandisets/000128/versions/0.220113.0400"  # published, so it never changes
MAZE_ASSET = "sub-Jenkins/sub-Jenkins_ses-full_desc-train_behavior+ecephys.nwb"
PAPER_SD = 0.045  # s, width of the paper's smoothing
N_BINS = {"M1": 40, "PMd": 40, "S1": 35}  # bins per trial from the go cue, by area
Names = list[str] | str | None
SIMULATED = ("Sim_M1_day000", "Sim_M1_day030", "Sim_PMd_day000", "Sim_S1_day000")  # opened by default


class Unavailable(FileNotFoundError):
    """A session's file is not here, or could not be downloaded."""


@dataclass(frozen=True)
class Entry:
    """One recorded session of the paper.

    ``file`` and ``blob`` are the authors' file and the id of its git blob in their repository, which is
    address and checksum in one. ``blob`` is None for MC_Maze: DANDI is asked for the file's sha256 at the
    pinned version, which is kept beside the file in the cache. A copy of MC_Maze in NERLIB_DATA can therefore
    not be verified.
    """

    name: str
    areas: tuple[str, ...]
    monkey: str
    date: str
    file: str
    blob: str | None = None

    @property
    def address(self) -> str:
        maze = f"{DANDI}/{MAZE_VERSION}/assets/?path={quote(MAZE_ASSET)}"
        return f"{GITHUB}/{self.blob}" if self.blob else maze

    @property
    def cached(self) -> Path:
        return cache_folder() / ("perich" if self.blob else "nwb") / self.file

    @property
    def bundled(self) -> bool:
        """Whether the session comes with the book."""
        return f"{self.name}.nwb" in _bundled_checksums()

    @property
    def path(self) -> Path | None:
        """The file in book/recordings, in NERLIB_DATA or its subfolder perich/ (nwb/), or in the cache."""
        places = [self.cached]
        if self.bundled:
            places = [RECORDINGS / f"{self.name}.nwb"]
        elif os.environ.get("NERLIB_DATA"):
            folder = Path(os.environ["NERLIB_DATA"]).expanduser()
            if not folder.is_dir():
                problem = f"NERLIB_DATA is {folder}, which is not a folder"
                raise FileNotFoundError(f"{problem}; correct or unset it")
            places = [folder / self.file, folder / self.cached.parent.name / self.file, self.cached]
        return next((place for place in places if place.is_file()), None)


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


def find_entry(name: str) -> Entry:
    """The recorded session of this name; ValueError with the closest names when there is none."""
    by_name = {entry.name: entry for entry in ENTRIES}
    if name in by_name:
        return by_name[name]
    close = difflib.get_close_matches(str(name), by_name, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(by_name)}"
    raise ValueError(f"unknown session {name!r}; {hint}")


def load_session(
    name: str, area: str | None = None, *, smoothing: str = "published", smooth_sd: float = PAPER_SD
) -> Session:
    """One of the paper's sessions, verified, or a simulated one.

    Raises ValueError for an unknown area or smoothing, and for another width of a session that is not
    bundled; FileNotFoundError (Unavailable) where the file is not here; DataError where it is damaged.

    Parameters
    ----------
    name : str, of one of the `ENTRIES`, e.g. "Chewie_20161007" or "MC_Maze" (with all its trials), or of a
        simulated session, e.g. "Sim_M1_day000"
    area : str or None, "M1", "PMd", "S1" (MC_Maze: "M1+PMd"); None is the session's first area
    smoothing, smooth_sd : as in `nerlib.read_nwb`; another width than the paper's for bundled sessions alone.
        These hold four bins before and after each trial. Where a wider kernel reaches beyond them, the rate
        is the mean of the bins that are there: with zeros, low rates would tell where a trial begins or ends
    """
    found, day = _parse_simulated(name) if name.startswith("Sim_") else (None, None)
    areas = (found,) if found else find_entry(name).areas
    area = areas[0] if area is None else area
    if area not in areas:
        raise ValueError(f"{name} has no area {area!r}; it has {', '.join(areas)}")
    if smooth_sd != PAPER_SD and (found or not find_entry(name).bundled):
        raise ValueError(f"{name} is not bundled, so its smooth_sd is {PAPER_SD} s; got {smooth_sd}")
    if found:
        return simulate_session(area=area, day=day, smoothing=smoothing)
    path = find_file(name)
    if path.suffix == ".nwb":
        if name == "MC_Maze":
            session = read_nwb(path, name=name, smoothing=smoothing, **MAZE_SCHEMA)
            return replace(session, area=area)
        bins: dict = {"n_bins": N_BINS[area], "smooth_sd": smooth_sd, "smoothing": smoothing}
        session = read_nwb(path, area, counts=f"ecephys/counts_{area}", name=name, **bins)
        return _without_edges(session, smooth_sd, smoothing)
    session = read_authors_mat(path, area, N_BINS[area])
    if smoothing == "published":
        return session
    from recordings.make import recover_counts, smooth_counts

    return replace(session, rates=smooth_counts(recover_counts(session.rates, N_BINS[area]), smoothing))


def _without_edges(session, smooth_sd, smoothing):
    """Rates divided by the share of the kernel that lies on bins which the file holds."""
    from recordings.make import REACH

    sd = smooth_sd / session.bin_width
    if len(kernel(sd)) // 2 <= REACH:
        return session
    n_bins = session.trial_lengths[0]
    share = smooth(np.ones((REACH + n_bins + REACH, 1)), sd, smoothing=smoothing)[REACH:-REACH]
    return replace(session, rates=session.rates / np.tile(share, (session.n_trials, 1)))


def open_sessions(
    data: str, names: Names = None, areas: Names = None
) -> tuple[list[Session], list[tuple[str, str, str]]]:
    """The sessions that a chapter analyses; those that are unavailable are reported, never replaced.

    Returns the sessions, and a list of (name, area, reason) of those that are unavailable. Raises ValueError
    for unknown ``data``, name or area, and DataError for a file that is present but damaged.

    Parameters
    ----------
    data : "simulated" or "recorded" (the paper's centre-out sessions)
    names, areas : str, list of str or None, only these; None is all recorded sessions, or `SIMULATED`
    """
    if data not in ("simulated", "recorded"):
        raise ValueError(f'data must be "simulated" or "recorded", got {data!r}')
    names, areas = ([given] if isinstance(given, str) else given for given in (names, areas))
    unknown = sorted(set(areas or ()) - set(N_BINS))
    if unknown:
        raise ValueError(f"unknown area {', '.join(map(repr, unknown))}; there are {', '.join(N_BINS)}")
    if data == "recorded":
        return _open_recorded(names, areas)
    found = map(_parse_simulated, SIMULATED if names is None else names)
    chosen = [(area, day) for area, day in found if areas is None or area in areas]
    return [simulate_session(area=area, day=day) for area, day in chosen], []


def _parse_simulated(name):
    """Area and day in the name of a simulated session."""
    match = re.fullmatch(r"Sim_(M1|PMd|S1)_day(\d{3,})", name)
    if match is None:
        raise ValueError(f"unknown simulated session {name!r}; names look like Sim_M1_day000 (M1, PMd or S1)")
    return match[1], int(match[2])


def _open_recorded(names, areas):
    entries = [e for e in ENTRIES if e.blob] if names is None else map(find_entry, names)
    sessions, absent = [], []
    for entry in entries:
        for area in entry.areas if areas is None else areas:
            if area not in entry.areas:
                if names is not None:
                    absent.append((entry.name, area, f"was recorded in {', '.join(entry.areas)} only"))
            elif entry.path is None and not entry.bundled:
                absent.append((entry.name, area, "not bundled; `make fetch` downloads it"))
            else:
                sessions.append(load_session(entry.name, area))
    return sessions, absent


def find_file(name: str | Entry) -> Path:
    """The path of the file of an ``Entry``, or of the name of one of the `ENTRIES`; verified every time.

    Raises FileNotFoundError (Unavailable) where it is not here, with a message that says how to get it;
    ValueError for an unknown name, and DataError for a file that fails its checksum.
    """
    entry = find_entry(name) if isinstance(name, str) else name
    name, path = entry.name, entry.path
    restore = f"restore it with `git checkout -- book/recordings/{name}.nwb`"
    if path is None and entry.bundled:
        raise Unavailable(f"{RECORDINGS / name}.nwb is missing, {restore}")
    if path is None:
        get = f"`make fetch` downloads it, or set NERLIB_DATA to a folder that holds {entry.file}"
        raise Unavailable(f"{name} is not here and does not come with the book; {get}")
    if entry.bundled:
        verify(path, f"sha256:{_bundled_checksums()[path.name]}", path, restore)
    elif entry.blob:
        advice = "`make fetch` replaces it" if path == entry.cached else "delete it and run `make fetch`"
        verify(path, f"git:{entry.blob}", path, advice)
    return path


@cache
def _bundled_checksums():
    """File -> sha256 of the sessions that come with the book."""
    lines = (RECORDINGS / "checksums.txt").read_text().splitlines()
    return {file: checksum for checksum, file in map(str.split, lines)}


def cache_folder() -> Path:
    """The folder where downloads are kept: NERLIB_CACHE, else the user's cache folder."""
    return Path(os.environ.get("NERLIB_CACHE") or pooch.os_cache("nerlib")).expanduser()


def matches(path: Path, expected: str) -> bool:
    """Whether a file has the checksum "git:..." (id of its git blob) or "sha256:..."."""
    if expected.startswith("sha256:"):
        return pooch.file_hash(path) == expected.removeprefix("sha256:")
    content = path.read_bytes()
    return f"git:{hashlib.sha1(b'blob %d' % len(content) + bytes(1) + content).hexdigest()}" == expected


def verify(path: Path, expected: str, source: str | Path, advice: str) -> None:
    """DataError, naming the file's source and what to do, where a file does not have its checksum."""
    if not matches(path, expected):
        found = f"{source} ({path.stat().st_size} bytes) does not match its checksum, expected {expected}"
        raise DataError(f"{found}: it is truncated or changed; {advice}")
