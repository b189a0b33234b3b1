import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from nwb_files import RECORDED, maze_content, write_nwb

from companion import catalogue
from companion.catalogue import find_file, load_session, open_sessions
from nerlib.data import DataError, simulate_session

NAME = "Chewie_20150313"  # not bundled
PAYLOAD = bytes(range(256)) * 400
BLOB = hashlib.sha1(b"blob %d\0" % len(PAYLOAD) + PAYLOAD).hexdigest()


def test_the_papers_sessions():
    entries = catalogue.ENTRIES
    assert len({entry.name for entry in entries}) == len(entries) == 20
    counts = Counter(entry.monkey for entry in entries)
    assert counts == {"Chewie": 10, "Mihili": 6, "Han": 3, "Jenkins": 1}
    assert sum("M1" in entry.areas for entry in entries) == 16
    assert sum("PMd" in entry.areas for entry in entries) == 12
    assert not any("PMd" in entry.areas for entry in entries if "_2015" in entry.name)
    *blobs, of_maze = [entry.blob for entry in entries]
    assert len(set(blobs)) == 19 and all(len(bytes.fromhex(blob)) == 20 for blob in blobs)
    bundled = [entry for entry in entries if entry.bundled]
    assert {entry.name for entry in bundled} == set(RECORDED) and all(entry.path for entry in bundled)
    assert of_maze is None


def test_listing_imports_nothing_heavy_and_downloads_nothing(tmp_path):
    code = (
        "import sys; from companion.catalogue import ENTRIES; "
        "absent = [entry for entry in ENTRIES if entry.path is None]; "
        "assert absent == [entry for entry in ENTRIES if not entry.bundled] and len(absent) == 9; "
        "assert all(entry.address.startswith('https://') for entry in absent); "
        "heavy = {'pynwb', 'h5py', 'scipy', 'torch', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    env = {"NERLIB_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


def test_unknown_session_names_the_close_ones():
    with pytest.raises(ValueError, match="unknown session 'Chewie_20161008'; did you mean Chewie_20161007"):
        catalogue.find_entry("Chewie_20161008")
    with pytest.raises(ValueError, match="there are Chewie_20150313, .*MC_Maze"):
        catalogue.find_entry("zzz")


@pytest.fixture
def known(monkeypatch):
    """The catalogue with a session whose file is `PAYLOAD`."""
    entries = [replace(e, blob=BLOB) if e.name == NAME else e for e in catalogue.ENTRIES]
    monkeypatch.setattr(catalogue, "ENTRIES", entries)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder of bundled recordings with one file in it."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("checksums.txt", "Han_20171204.nwb"):
        (folder / name).write_bytes((catalogue.RECORDINGS / name).read_bytes())
    monkeypatch.setattr(catalogue, "RECORDINGS", folder)
    return folder


@pytest.mark.parametrize("subfolder", ["", "perich"])
def test_sessions_that_are_not_bundled_come_from_nerlib_data(known, tmp_path, monkeypatch, subfolder):
    folder = tmp_path / "data" / subfolder
    folder.mkdir(parents=True)
    file = folder / catalogue.find_entry(NAME).file
    file.write_bytes(PAYLOAD)
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path / "data"))
    assert find_file(NAME) == file
    file.write_bytes(PAYLOAD[:-7])
    message = r"102393 bytes\) does not match .* truncated or changed; delete it and run `make fetch`"
    with pytest.raises(DataError, match=message):
        find_file(NAME)


def test_else_from_the_cache(known):
    path = catalogue.find_entry(NAME).cached
    with pytest.raises(
        catalogue.Unavailable, match="not here .* `make fetch` downloads it, or set NERLIB_DATA"
    ):
        find_file(NAME)
    path.parent.mkdir(parents=True)
    path.write_bytes(PAYLOAD)
    assert find_file(NAME) == path
    path.write_bytes(b"half")
    with pytest.raises(DataError, match=r"4 bytes.* `make fetch` replaces it"):
        find_file(NAME)


def test_nerlib_data_must_be_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match="NERLIB_DATA is .*typo, which is not a folder"):
        find_file(NAME)


def test_a_damaged_or_missing_recording_says_how_to_restore_it(bundle):
    restore = "restore it with `git checkout -- book/recordings/Han_2017120"
    file = bundle / "Han_20171204.nwb"
    assert find_file("Han_20171204") == file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{file} .* does not match .*{restore}4"):
        open_sessions("recorded", "Han_20171204")
    with pytest.raises(FileNotFoundError, match=f"Han_20171207.nwb is missing, {restore}7"):
        open_sessions("recorded", "Han_20171207")


def test_load_session():
    assert load_session("Chewie_20161007").area == "M1"
    session = load_session("Chewie_20161007", area="PMd")
    assert session.name == "Chewie_20161007" and session.rates.shape == (6720, 137)
    assert (session.monkey, session.date, session.simulated) == ("Chewie", "20161007", False)
    assert load_session("Han_20171201").trial_lengths.tolist() == [35] * 292


@pytest.mark.parametrize("name", RECORDED)
def test_bundled_sessions_are_the_authors(name, data_folder, monkeypatch):
    """In the single precision that networks see they are the same; so are counts, smoothed either way."""
    ours = {
        (area, smoothing): load_session(name, area, smoothing=smoothing)
        for area in catalogue.find_entry(name).areas
        for smoothing in ("published", "causal")
    }
    monkeypatch.setattr(catalogue, "_bundled_checksums", dict)
    monkeypatch.setenv("NERLIB_DATA", str(data_folder))
    assert find_file(name).suffix == ".mat"
    for (area, smoothing), session in ours.items():
        theirs = load_session(name, area, smoothing=smoothing)
        np.testing.assert_allclose(session.rates, theirs.rates, atol=1e-14)
        for field in ("velocity", "direction", "trial"):
            np.testing.assert_array_equal(getattr(session, field), getattr(theirs, field))
        assert (session.name, session.date, session.monkey) == (theirs.name, theirs.date, theirs.monkey)


@pytest.mark.parametrize("smoothing", ["published", "causal"])
def test_wide_smoothing_does_not_tell_where_a_trial_ends(smoothing):
    """Mean rates of the outermost bins stay; zeros beyond the file would take half of them."""
    means = []
    for options in ({}, {"smooth_sd": 0.11}):
        session = load_session("Han_20171201", smoothing=smoothing, **options)
        means.append(session.rates.reshape(session.n_trials, session.trial_lengths[0], -1).mean(axis=(0, 2)))
    assert np.allclose(means[1][[0, 1, -2, -1]], means[0][[0, 1, -2, -1]], rtol=0.04)


@pytest.mark.parametrize("name", ["Mihili_20140218", "Sim_M1_day000"])
def test_another_width_is_refused_where_it_would_change_nothing(name):
    with pytest.raises(ValueError, match=f"{name} is not bundled, .* got 0.11"):
        load_session(name, smooth_sd=0.11)


def test_causal_smoothing_is_a_choice():
    published = load_session("Han_20171204")
    causal = load_session("Han_20171204", smoothing="causal")
    np.testing.assert_array_equal(causal.labels, published.labels)
    assert not np.allclose(causal.rates, published.rates)
    assert causal.rates.mean() == pytest.approx(published.rates.mean(), rel=0.05)
    simulated = load_session("Sim_S1_day000", smoothing="causal")
    assert simulated.digest == simulate_session(area="S1", smoothing="causal").digest
    for name in ("Han_20171204", "Sim_S1_day000"):
        with pytest.raises(ValueError, match='smoothing must be "published" or "causal", got \'none\''):
            load_session(name, smoothing="none")


def test_load_session_says_what_there_is():
    with pytest.raises(ValueError, match="unknown session 'Chewie_2016107'; did you mean Chewie_20161007"):
        load_session("Chewie_2016107")
    with pytest.raises(ValueError, match="Chewie_20150629 has no area 'PMd'; it has M1"):
        load_session("Chewie_20150629", "PMd")


def test_mc_maze_is_read_from_nerlib_data(tmp_path, monkeypatch):
    entry = catalogue.find_entry("MC_Maze")
    (tmp_path / "nwb").mkdir()
    write_nwb(tmp_path / "nwb" / entry.file, **maze_content())
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="left out trials: 1 too short"):
        session = load_session("MC_Maze")
    assert session.name == "MC_Maze" and session.area == "M1+PMd" and session.n_trials == 4


def test_recorded_sessions_and_what_is_absent(monkeypatch):
    monkeypatch.setattr("socket.socket", None)  # nothing here touches the network
    sessions, absent = open_sessions("recorded")
    assert [(s.name, s.area) for s in sessions] == [
        (e.name, area) for e in catalogue.ENTRIES for area in e.areas if e.name in RECORDED
    ]
    assert [entry[:2] for entry in absent] == [
        (e.name, area) for e in catalogue.ENTRIES[:-1] for area in e.areas if e.name not in RECORDED
    ]
    assert {reason for *_, reason in absent} == {"not bundled; `make fetch` downloads it"}
    assert not any(session.simulated for session in sessions)


def test_names_and_areas_of_recorded_sessions():
    names = ["Chewie_20161007", "Han_20171201"]
    sessions, absent = open_sessions("recorded", names, ["PMd"])
    assert [(s.name, s.area) for s in sessions] == [("Chewie_20161007", "PMd")]
    assert absent == [("Han_20171201", "PMd", "was recorded in S1 only")]
    sessions, absent = open_sessions("recorded", areas="S1")
    assert {s.area for s in sessions} == {"S1"} and not absent
    with pytest.raises(ValueError, match="unknown session 'Chewie_1999'"):
        open_sessions("recorded", ["Chewie_1999"])


def test_simulated_sessions():
    sessions, absent = open_sessions("simulated")
    assert [s.name for s in sessions] == [
        *(f"Sim_M1_day{day:03d}" for day in (0, 30)),
        "Sim_PMd_day000",
        "Sim_S1_day000",
    ]
    assert absent == [] and all(s.simulated for s in sessions)
    (one,), _ = open_sessions("simulated", ["Sim_M1_day005"])
    assert one.digest == simulate_session(0, "M1", day=5).digest
    chosen, _ = open_sessions("simulated", areas=["PMd"])
    assert [s.area for s in chosen] == ["PMd"]


def test_open_sessions_says_what_there_is():
    with pytest.raises(ValueError, match='data must be "simulated" or "recorded", got \'real\''):
        open_sessions("real")
    with pytest.raises(
        ValueError, match="unknown simulated session 'Chewie_20161007'; names look like Sim_M1_day000"
    ):
        open_sessions("simulated", ["Chewie_20161007"])
    with pytest.raises(ValueError, match="unknown area 'V1'; there are M1, PMd, S1"):
        open_sessions("recorded", areas=["V1"])
