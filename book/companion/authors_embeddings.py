"""Embeddings that the paper's authors published, as runs that `nerlib.runs` scores.

Each file holds an embedding of training and test trials with the true movements, and no rates. The files have
no licence, so they do not come with the book: they are read from the folder authors_embeddings in NERLIB_DATA
or in the cache, which `make fetch` fills. authors_embeddings.csv lists them with the ids of their git blobs.
"""

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from companion.catalogue import Entry, cache_folder, find_file
from nerlib.data import DataError
from nerlib.experiments import transfer
from nerlib.runs import Run, score_run
from nerlib.session import Session

FOLDER = "authors_embeddings"
KEPT = Path(__file__).resolve().parents[1] / "reference" / "authors_scores.json"
_N_BINS = {"M1": 40, "M1+PMd": 100}
_BIN_WIDTH = {"M1": 0.03, "M1+PMd": 0.005}  # s


@dataclass(frozen=True)
class EmbeddingEntry(Entry):
    """A file of the authors' repository: the embedding of one session by one method."""

    method: str = ""
    session: str = ""

    @property
    def cached(self) -> Path:
        return cache_folder() / FOLDER / self.file


def _entry(row):
    monkey, _, date = row.session.partition("_") if row.area == "M1" else ("Jenkins", "", "")
    name = Path(row.file).stem
    return EmbeddingEntry(name, (row.area,), monkey, date, row.file, row.blob, row.method, row.session)


ENTRIES = [_entry(row) for row in pd.read_csv(Path(__file__).with_suffix(".csv")).itertuples()]


@dataclass(frozen=True, eq=False)
class AuthorsRun(Run):
    """A `Run` whose embedding was read, not fitted; ``n_train`` is the number of its training trials.

    The session's rates are the embedding. pi-VAE's authors kept a fifth of the trials for validation, and its
    files lack them, so that the training trials are not the first 80 %. In MC_Maze ``versions`` (n_trials,)
    is 0 where the reach was straight, 1 and 2 where it was curved. ``loss_curve`` (steps,) is the training
    loss, where the file has it.
    """

    n_train: int = 0
    file: str = ""
    blob: str = ""
    versions: np.ndarray | None = None
    loss_curve: np.ndarray | None = None

    @cached_property
    def splits(self) -> dict[str, Session]:
        parts = {"train": slice(None, self.n_train), "test": slice(self.n_train, None)}
        return {split: self.session.select(trials) for split, trials in parts.items()}


def read_run(entry: EmbeddingEntry) -> AuthorsRun:
    """The embedding of a file and its movements, verified.

    Raises FileNotFoundError (Unavailable) where the file is not here, and DataError where it is damaged or
    has another content.
    """
    path, (area,) = find_file(entry), entry.areas
    try:
        with np.load(path, allow_pickle=False) as file:
            return make_run({name: file[name] for name in file.files}, entry, area)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} is not an embedding of the authors ({error})") from None


def make_run(content: dict, entry: EmbeddingEntry, area: str) -> AuthorsRun:
    """A run from the arrays of a file: per split, an embedding (T, d) and (T, 3) velocity and direction.

    Velocity is in mm/s. In MC_Maze the direction is that of the target, since the third column is 0 there.
    """
    embedding, labels = ([content[f"{kind}_{split}"] for split in ("train", "test")]
                         for kind in ("cebra_veldir", "continuous_index"))  # fmt: skip
    n_bins = _N_BINS[area]
    lengths = [len(part) for part in embedding]
    if lengths != [len(part) for part in labels] or any(n % n_bins or not n for n in lengths):
        raise ValueError(f"expected embeddings and labels of whole trials of {n_bins} bins, got {lengths}")
    both, moved = np.concatenate(embedding).astype(float), np.concatenate(labels).astype(float)
    angle, versions = moved[:, 2], None
    if "target_angle_train" in content:
        angle = np.concatenate([content["target_angle_train"], content["target_angle_test"]])
        versions = np.concatenate([content["version_index_train"], content["version_index_test"]])[::n_bins]
    trial = np.repeat(np.arange(len(both) // n_bins), n_bins)
    about = entry.session, area, entry.monkey, entry.date
    session = Session(both, moved[:, :2], np.round(angle) % 360, trial, _BIN_WIDTH[area], *about)
    told = {field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")}
    told = {"session": session.name, **told, "method": entry.method, "seed": 42, "settings": ""}
    parts = dict(zip(("train", "test"), np.split(both, [lengths[0]]), strict=True))
    file = entry.file, entry.blob or ""
    loss_curve = content.get("train_loss_stable")
    return AuthorsRun(told, session, parts, parts, 0.0, lengths[0] // n_bins, *file, versions, loss_curve)


def open_runs(area: str = "M1", methods: Iterable[str] = ()) -> tuple[list[AuthorsRun], list[str]]:
    """The authors' embeddings of an area ("M1"; MC_Maze: "M1+PMd") that are here, and the files that are not.

    ``methods`` are the methods to open, all if empty.
    """
    methods = list(methods)
    chosen = [e for e in ENTRIES if area in e.areas and (not methods or e.method in methods)]
    return [read_run(e) for e in chosen if e.path], [e.file for e in chosen if not e.path]


def score_runs(runs: Iterable[Run]) -> list[dict]:
    """Records of `nerlib.runs.score_run`: within sessions, training and held-out trials, both protocols."""
    return [row for run in runs for row in score_run(run)]


def score_transfers(runs: Sequence[Run]) -> list[dict]:
    """Records of `nerlib.runs.transfer_run`: each run's decoder on each run of the same method."""
    return transfer(list(runs), lambda source, target: True, verbose=False)
