"""The recorded data without anything from outside, and small NWB files made by hand."""

from datetime import UTC, datetime

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch, tmp_path):
    """Neither the caller's data folder nor the user's cache changes what a test sees."""
    monkeypatch.delenv("NERLIB_DATA", raising=False)
    monkeypatch.setenv("NERLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def recorded(data_folder, nothing_from_outside, monkeypatch):
    """The library sees the recorded data, an empty cache, and no network."""
    from nerlib.data import registry

    monkeypatch.setenv("NERLIB_DATA", str(data_folder))
    monkeypatch.setattr(registry, "GITHUB", "http://127.0.0.1:9/blobs")
    monkeypatch.setattr(registry, "DANDI", "http://127.0.0.1:9/api")
    return data_folder


@pytest.fixture
def write_nwb(tmp_path):
    """A function that writes a small NWB file from plain arrays and gives back its path."""
    import pynwb
    from pynwb.behavior import BehavioralTimeSeries

    def write(
        spikes,
        trials,
        velocity,
        *,
        groups,
        times=None,
        unit="cm/s",
        conversion=1.0,
        offset=0.0,
        observed=None,
        maze=False,
    ):
        nwb = pynwb.NWBFile(
            session_description="made by hand",
            identifier="hand",
            session_start_time=datetime(2016, 10, 14, tzinfo=UTC),
            session_id="hand",
        )
        nwb.subject = pynwb.file.Subject(subject_id="C", species="Macaca mulatta", sex="M")
        device = nwb.create_device(name="array")
        names = [name for name in dict.fromkeys(groups) if name is not None]
        for name in names:
            group = nwb.create_electrode_group(
                name=f"electrode_group_{name}", description="array", location=name, device=device
            )
            nwb.add_electrode(group=group, location=name)
        for i, unit_times in enumerate(spikes):
            more = {} if observed is None else {"obs_intervals": observed[i]}
            electrodes = [] if groups[i] is None else [names.index(groups[i])]
            nwb.add_unit(spike_times=np.asarray(unit_times, float), electrodes=electrodes, **more)
        for column in trials:
            if column not in ("start_time", "stop_time"):
                nwb.add_trial_column(name=column, description=column, index=column == "target_pos")
        for row in range(len(trials["start_time"])):
            nwb.add_trial(**{column: values[row] for column, values in trials.items()})
        clock = {"rate": 100.0, "starting_time": 0.0} if times is None else {"timestamps": times}
        if velocity is not None:
            module = nwb.create_processing_module(name="behavior", description="movement")
            name = "hand_vel" if maze else "cursor_vel"
            series = pynwb.TimeSeries(
                name=name, data=velocity, unit=unit, conversion=conversion, offset=offset, **clock
            )
            module.add(series if maze else BehavioralTimeSeries(time_series=series, name="Velocity"))
        path = tmp_path / "hand.nwb"
        with pynwb.NWBHDF5IO(str(path), "w") as io:
            io.write(nwb)
        return path

    return write


@pytest.fixture
def content():
    """Six trials of 3 s, one every 4 s, 100 Hz velocity, four units in two areas."""
    rng = np.random.default_rng(4)
    start = 1.0 + 4.0 * np.arange(6)
    trials = {
        "start_time": start,
        "stop_time": start + 3.0,
        "go_cue_time": start + np.array([1.0, 1.213, 1.1, 1.9, 1.05, 1.3]),  # the fourth is too late
        "target_dir": np.pi / 4 * np.array([0, 3, 7, 2, 1, -3]),
        "result": ["R", "R", "A", "R", "R", "R"],
    }
    spikes = [np.sort(rng.uniform(0, 26, n)) for n in (400, 150, 20, 300)]
    return {
        "spikes": spikes,
        "trials": trials,
        "velocity": rng.normal(0, 10, (2600, 2)),
        "groups": ["M1", "PMd", "M1", "M1"],
    }
