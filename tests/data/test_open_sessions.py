import subprocess
import sys

import pytest

import nerlib
from nerlib import data
from nerlib.data import load_session, open_sessions, registry


def test_public_names_are_there_and_lazy():
    for name in data.__all__:
        assert callable(getattr(data, name))
    assert set(data.__all__) <= set(dir(data))
    assert nerlib.load_session is load_session and nerlib.read_nwb is data.read_nwb
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = data.nothing
    code = (
        "import sys, nerlib.data; assert not {'numpy', 'pynwb', 'h5py', 'pooch', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_load_session(recorded):
    if registry.find_entry("Chewie_20161007").path is None:
        pytest.skip("Chewie_20161007 is not in the data folder")
    assert load_session("Chewie_20161007").area == "M1"
    session = load_session("Chewie_20161007", area="PMd")
    assert session.name == "Chewie_20161007" and session.rates.shape == (6720, 137)


def test_load_session_says_what_there_is(recorded):
    with pytest.raises(ValueError, match="unknown session 'Chewie_2016107'; did you mean Chewie_20161007"):
        load_session("Chewie_2016107")
    with pytest.raises(ValueError, match="Chewie_20150629 has no area 'PMd'; it has M1"):
        load_session("Chewie_20150629", "PMd")


def test_mc_maze_is_read_from_nerlib_data(tmp_path, monkeypatch):
    entry = registry.find_entry("MC_Maze")
    (tmp_path / "nwb").mkdir()
    data.write_simulated(tmp_path / "nwb" / entry.file, task="maze", n_trials=4, n_neurons=3)
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path))
    session = load_session("MC_Maze")
    assert session.name == "MC_Maze" and session.area == "M1+PMd" and session.n_trials == 4


def test_recorded_sessions_and_what_is_absent(recorded, monkeypatch):
    tried = []

    def no_network(entry, *rest, **options):
        tried.append(entry.name)
        raise registry.NoNetwork(f"{entry.name}: no connection")

    monkeypatch.setattr(registry, "_get", no_network)
    sessions, absent = open_sessions("recorded")
    table = data.list_sessions().query("name != 'MC_Maze'")
    here, missing = table[table.present], table[~table.present]
    assert [(s.name, s.area) for s in sessions] == [
        (n, a) for n, areas in zip(here.name, here.areas, strict=True) for a in areas
    ]
    expected = [(n, a) for n, areas in zip(missing.name, missing.areas, strict=True) for a in areas]
    assert [entry[:2] for entry in absent] == expected
    assert not any(session.simulated for session in sessions)
    assert tried == missing.name.tolist()[:1]  # the network is tried once
    reasons = {reason for *_, reason in absent}
    assert all("no network" in reason for reason in reasons) and len(reasons) <= 1


def test_names_areas_and_trials_of_recorded_sessions(recorded):
    if registry.find_entry("Chewie_20161007").path is None:
        pytest.skip("Chewie_20161007 is not in the data folder")
    names = ["Chewie_20161007", "Han_20171201"]
    sessions, absent = open_sessions("recorded", names, ["PMd"], n_trials=12)
    assert [(s.name, s.area, s.n_trials) for s in sessions] == [("Chewie_20161007", "PMd", 12)]
    assert absent == [("Han_20171201", "PMd", "was recorded in S1 only")]
    sessions, absent = open_sessions("recorded", areas="S1")
    assert {s.area for s in sessions} == {"S1"} and not absent
    with pytest.raises(ValueError, match="unknown session 'Chewie_1999'"):
        open_sessions("recorded", ["Chewie_1999"])


def test_a_damaged_recording_is_an_error_not_an_absence(tmp_path, monkeypatch):
    (tmp_path / registry.find_entry("Han_20171201").file).write_bytes(b"half a file")
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path))
    with pytest.raises(data.DataError, match=r"\(11 bytes\) does not match"):
        open_sessions("recorded", "Han_20171201")


def test_simulated_sessions():
    sessions, absent = open_sessions("simulated", n_trials=8)
    assert [s.name for s in sessions] == [
        *(f"Sim_M1_day{day:03d}" for day in (0, 30)),
        "Sim_PMd_day000",
        "Sim_S1_day000",
    ]
    assert absent == [] and all(s.simulated and s.n_trials == 8 for s in sessions)
    (one,), _ = open_sessions("simulated", ["Sim_M1_day005"], n_trials=8, seed=2)
    assert one.digest == data.simulate_session(2, "M1", day=5, n_trials=8).digest
    chosen, _ = open_sessions("simulated", areas=["PMd"], n_trials=2)
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
