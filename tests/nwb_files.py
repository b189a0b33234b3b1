"""Small NWB files made by hand, the smoothing of rates written as a loop, and what the recordings hold."""

from datetime import UTC, datetime

import numpy as np

RECORDED = {  # trials, neurons by area
    "Chewie_20150629": (172, {"M1": 49}),
    "Chewie_20150630": (172, {"M1": 44}),
    "Chewie_20160929": (208, {"M1": 74, "PMd": 114}),
    "Chewie_20161007": (168, {"M1": 70, "PMd": 137}),
    "Mihili_20140217": (206, {"M1": 44, "PMd": 104}),
    "Mihili_20140303": (208, {"M1": 52, "PMd": 66}),
    "Mihili_20140304": (203, {"M1": 39, "PMd": 76}),
    "Mihili_20140307": (216, {"M1": 26, "PMd": 66}),
    "Han_20171201": (292, {"S1": 70}),
    "Han_20171204": (251, {"S1": 83}),
    "Han_20171207": (244, {"S1": 72}),
}


def loop_smooth(counts, sd, half_width):
    """The formula, one neuron after the other."""
    kernel = [np.exp(-(k**2) / (2 * sd**2)) for k in range(-half_width, half_width + 1)]
    kernel = np.array(kernel) / sum(kernel)
    full = [np.convolve(column, kernel)[half_width : half_width + len(column)] for column in counts.T]
    return np.column_stack(full)


def write_nwb(
    path,
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
    """Write a small NWB file from plain arrays and return its path."""
    import pynwb
    from pynwb.behavior import BehavioralTimeSeries

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
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def center_out_content():
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


def maze_content():
    """Five MC_Maze trials of 2 s; hand velocity in mm/s, stored as m/s with a conversion, 1 kHz."""
    rng = np.random.default_rng(5)
    start = 0.5 + 2.5 * np.arange(5)
    targets = [
        [[100.0, 0.0]],
        [[0.0, 80.0], [-70.0, 70.0], [30.0, -40.0]],
        [[1.0, 1.0], [0.0, -90.0]],
        [[-100.0, 0.0]],
        [[50.0, 50.0]],
    ]
    trials = {
        "start_time": start,
        "stop_time": start + 2.0,
        "move_onset_time": start + np.array([0.8, 0.9, 1.55, 0.06, 1.6]),  # the last is too late
        "trial_type": [13, 37, 38, 13, 13],
        "trial_version": [0, 2, 1, 1, 0],
        "target_pos": targets,
        "active_target": [0, 1, 1, 0, 0],
    }
    spikes = [np.sort(rng.uniform(0, 13, n)) for n in (600, 200, 90)]
    velocity, times = rng.normal(0, 100, (13000, 2)), np.arange(13000) / 1000
    more = {"conversion": 0.001, "unit": "m/s", "groups": ["PMd", "PMd", "M1"], "maze": True}
    return {"spikes": spikes, "trials": trials, "velocity": velocity, "times": times, **more}


def random_target_content():
    """Twenty trials of 2 s to random targets: no directions, velocity in 3-D, columns with other names.

    Unit 1 is silent, unit 3 is unit 2 again, unit 5 is unit 4 with a few spikes more. Trials 3 and 8 are
    without movement, trial 5 failed, trial 7 has no onset.
    """
    rng = np.random.default_rng(6)
    start = 1.0 + 2.5 * np.arange(20)
    times = np.arange(5300) / 100
    velocity = np.zeros((5300, 3))
    for trial in set(range(20)) - {3, 8}:
        inside = (times >= start[trial] + 0.6) & (times < start[trial] + 1.4)
        velocity[inside] = np.outer(np.sin(np.linspace(0, np.pi, inside.sum())), rng.normal(0, 20, 3))
    onset = start + 0.6
    onset[7] = np.nan
    trials = {
        "start_time": start,
        "stop_time": start + 2.0,
        "onset": onset,
        "outcome": ["miss" if trial == 5 else "hit" for trial in range(20)],
    }
    tuning = rng.normal(size=(3, 8)) / 20
    rates = np.maximum(8 * (1 + velocity @ tuning), 0.5)
    spikes = [times[rng.random(5300) < rate / 100] + 0.001 for rate in rates.T]
    spikes[1], spikes[3] = np.empty(0), spikes[2]
    spikes[5] = np.sort(np.r_[spikes[4], rng.uniform(0, 53, 5)])
    groups = ["M1"] * 7 + ["PMd"]
    return {"spikes": spikes, "trials": trials, "velocity": velocity, "groups": groups}
