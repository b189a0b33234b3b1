"""NER as an estimator: conventions, determinism, history, saving, and errors that help."""

import json
import resource
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from companion.idea import rank_agreement
from nerlib import NER
from nerlib.models._common import train

PERIODS = (None, None, 360.0)
QUICK = {"max_iter": 30, "batch_size": 32, "random_state": 0, "device": "cpu", "periods": PERIODS}


@pytest.fixture(scope="module")
def data():
    """Rates that hold the movement, plus noise: 20 trials of 15 bins, 12 neurons."""
    rng = np.random.default_rng(0)
    trial = np.repeat(np.arange(20), 15)
    direction = 45.0 * np.repeat(rng.integers(0, 8, 20), 15)
    speed = np.tile(300 * np.sin(np.linspace(0, np.pi, 15)), 20)
    angle = np.deg2rad(direction)
    velocity = np.column_stack([speed * np.cos(angle), speed * np.sin(angle)])
    rates = velocity @ rng.normal(size=(2, 12)) / 100 + 0.3 * rng.normal(size=(300, 12))
    return rates, np.column_stack([velocity, direction]), trial


def test_follows_the_conventions_of_scikit_learn():
    """No check is excepted."""
    check_estimator(NER(max_iter=5, batch_size=16))


def test_learns_the_ranks(data):
    rates, labels, trial = data
    model = NER(**{**QUICK, "max_iter": 300}).fit(rates, labels, trial)
    untrained = NER(**{**QUICK, "max_iter": 1, "learning_rate": 1e-12}).fit(rates, labels, trial)
    before, after = (
        rank_agreement(m.transform(rates), labels, periods=PERIODS).mean() for m in (untrained, model)
    )
    assert after > 0.85 > before
    assert model.loss_curve_[-20:].mean() < model.loss_curve_[:20].mean()


def test_the_weights_are_the_mean_of_the_last_steps(data):
    rates, labels, trial = data
    weight_averaging = NER(**QUICK, weight_averaging=0.2).fit(rates, labels, trial)
    last = [
        NER(**{**QUICK, "max_iter": n}, weight_averaging=0).fit(rates, labels, trial) for n in range(25, 31)
    ]
    assert np.array_equal(weight_averaging.loss_curve_, last[-1].loss_curve_)
    for name, weight in weight_averaging.encoder_.state_dict().items():
        mean = torch.stack([model.encoder_.state_dict()[name] for model in last]).mean(0)
        torch.testing.assert_close(weight, mean)


def test_same_seed_same_bits_and_global_state_untouched(data):
    rates, labels, trial = data
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (NER(**QUICK).fit(rates, labels, trial) for _ in range(2))
    other = NER(**{**QUICK, "random_state": 1}).fit(rates, labels, trial)
    assert np.array_equal(first.transform(rates), second.transform(rates))
    assert np.array_equal(first.loss_curve_, second.loss_curve_)
    assert not np.array_equal(first.transform(rates), other.transform(rates))
    assert torch.equal(before[0], torch.get_rng_state()) and np.array_equal(
        before[1], np.random.get_state()[1]
    )


@pytest.mark.parametrize("n_columns", [1, 2, 5])
def test_any_number_of_labels(data, n_columns):
    rates, _, trial = data
    labels = np.random.default_rng(0).normal(size=(300, n_columns))
    periods = (None,) * (n_columns - 1) + (360.0,)
    assert NER(**QUICK | {"periods": periods}).fit(rates, labels, trial).transform(rates).shape == (300, 3)


def test_circular_labels_ignore_whole_turns(data):
    rates, labels, trial = data
    turned = labels + np.array([0.0, 0.0, 360.0])
    first, second = (NER(**QUICK).fit(rates, y, trial).transform(rates) for y in (labels, turned))
    assert np.allclose(first, second, atol=1e-4)


def test_window_sees_history_within_the_trial_only(data):
    rates, labels, trial = data
    model = NER(**QUICK, window=4).fit(rates, labels, trial)
    embedding = model.transform(rates, trial)
    assert model.encoder_[0].in_features == 48
    changed = rates.copy()
    changed[:15] += 1.0  # the first trial
    moved = np.abs(model.transform(changed, trial) - embedding).max(axis=1) > 1e-6
    assert moved[:15].all() and not moved[15:].any()
    changed = rates.copy()
    changed[20] += 1.0
    moved = np.abs(model.transform(changed, trial) - embedding).max(axis=1) > 1e-6
    assert np.flatnonzero(moved).tolist() == [20, 21, 22, 23]


def test_blocks_do_not_change_the_embedding(data, monkeypatch):
    rates, labels, trial = data
    model = NER(**QUICK, window=3).fit(rates, labels, trial)
    whole = model.transform(rates, trial)
    monkeypatch.setattr("nerlib.models.base._BLOCK", 7)
    assert np.allclose(model.transform(rates, trial), whole, atol=1e-6)


def test_fits_in_threads_are_those_of_one_thread(data):
    """Torch has one generator for all threads; first weights must not be mixed up."""
    rates, labels, trial = data

    def loss(seed):
        settings = QUICK | {"random_state": seed, "max_iter": 2}
        return NER(**settings).fit(rates, labels, trial).loss_curve_.tolist()

    alone = [loss(seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(loss, range(40))) == alone


def test_fits_that_overlap_leave_torch_its_threads(data, monkeypatch):
    """The second starts within the first and ends after it."""
    rates, labels, _ = data
    before = torch.get_num_threads()
    first_trains, second_trains, first_ended = (threading.Event() for _ in range(3))

    def met(method, *given):
        is_first = method.random_state == 0
        (first_trains if is_first else second_trains).set()
        assert (second_trains if is_first else first_ended).wait(60)
        return train(method, *given)

    monkeypatch.setattr("nerlib.models.base.train", met)

    def fit(seed):
        return NER(**QUICK | {"random_state": seed}).fit(rates, labels)

    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(fit, 0)
            assert first_trains.wait(60)
            second = threads.submit(fit, 1)
            first.result()
            first_ended.set()
            second.result()
        with ThreadPoolExecutor(1) as afterwards:
            assert afterwards.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_saved_and_loaded_is_the_same(data, tmp_path):
    rates, labels, trial = data
    model = NER(**QUICK, window=2, weights=(1.0, 2.0, 0.5)).fit(rates, labels, trial)
    model.save(tmp_path / "model.safetensors")
    state = torch.get_rng_state()
    loaded = NER.load(tmp_path / "model.safetensors", device="cpu")
    assert torch.equal(torch.get_rng_state(), state)  # the caller's random numbers stay
    assert np.array_equal(loaded.transform(rates, trial), model.transform(rates, trial))
    assert np.array_equal(loaded.loss_curve_, model.loss_curve_)
    expected = {k: v for k, v in model.get_params().items() if k != "device"}
    assert {k: v for k, v in loaded.get_params().items() if k != "device"} == expected
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_names_of_neurons_are_saved(data, tmp_path):
    rates, labels, trial = data
    frame = pd.DataFrame(rates, columns=[f"unit {i}" for i in range(12)])
    NER(**QUICK).fit(frame, labels, trial).save(tmp_path / "model.safetensors")
    loaded = NER.load(tmp_path / "model.safetensors", device="cpu")
    assert loaded.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.transform(frame[frame.columns[::-1]])


def test_saving_that_fails_leaves_the_old_file(data, tmp_path, monkeypatch):
    rates, labels, trial = data
    model, path = NER(**QUICK).fit(rates, labels, trial), tmp_path / "model.safetensors"
    model.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("nerlib.models._saving.save_file", full)
    with pytest.raises(OSError, match="disk full"):
        model.save(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_files_that_are_no_model_are_refused(data, tmp_path):
    rates, labels, trial = data
    path = tmp_path / "model.safetensors"
    NER(**QUICK).fit(rates, labels, trial).save(path)
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-100])
    save_file(load_file(path), tmp_path / "foreign")
    save_file(load_file(path), tmp_path / "early", {"nerlib": json.dumps({"class": "NER"})})
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        NER.load(tmp_path / "cut")
    with pytest.raises(ValueError, match="holds no model of nerlib"):
        NER.load(tmp_path / "foreign")
    with pytest.raises(ValueError, match="earlier version of nerlib; fit the model"):
        NER.load(tmp_path / "early")
    with pytest.raises(FileNotFoundError):
        NER.load(tmp_path / "absent")


def test_silent_unless_asked(data, capsys):
    rates, labels, trial = data
    NER(**QUICK).fit(rates, labels, trial)
    assert capsys.readouterr() == ("", "")
    NER(**QUICK, verbose=True).fit(rates, labels, trial)
    assert "30/30" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components must be positive"),
        ({"max_iter": 2.5}, TypeError, "max_iter must be an integer; got 2.5 of type float"),
        ({"batch_size": "512"}, TypeError, "batch_size must be an integer"),
        ({"window": True}, TypeError, "window must be an integer"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be positive and finite"),
        ({"temperature": None}, TypeError, "temperature must be a number"),
        (
            {"weight_averaging": 1.5},
            ValueError,
            "weight_averaging must be a share of the steps, from 0 to 1; got 1.5",
        ),
        ({"weight_averaging": "all"}, ValueError, "weight_averaging must be a share of the steps"),
        ({"periods": (None,)}, ValueError, "periods has 1 entries but the labels have 3 columns"),
        ({"weights": (1.0, 1.0)}, ValueError, "weights has 2 entries but the labels have 3 columns"),
    ],
)
def test_bad_parameters_are_refused(data, parameters, error, message):
    with pytest.raises(error, match=message):
        NER(**{**QUICK, **parameters}).fit(*data)


def test_bad_data_are_refused(data):
    rates, labels, trial = data
    model = NER(**QUICK)
    for broken in (rates, labels):
        spoiled = broken.copy()
        spoiled[3, 1] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            model.fit(*((spoiled, labels) if broken is rates else (rates, spoiled)), trial)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(rates, labels[:-1], trial)
    with pytest.raises(
        ValueError, match=r"trial must be an integer array of one entry per bin, shape \(300,\)"
    ):
        model.fit(rates, labels, trial[:-1])
    with pytest.raises(ValueError, match="12 features"):
        clone(model).fit(rates, labels, trial).transform(rates[:, :5])


def test_memory_does_not_grow_with_the_steps(data):
    rates, labels, trial = data

    def peak(steps):
        NER(max_iter=steps, random_state=0, device="cpu").fit(rates, labels, trial)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            1e6 if sys.platform == "darwin" else 1e3
        )  # MB

    assert peak(300) - peak(30) < 60  # one lost batch a step would be 270


def test_divergence_is_told(data):
    rates, labels, trial = data
    with pytest.raises(ValueError, match="training diverged at step"):
        NER(**{**QUICK, "learning_rate": 1e38}).fit(1e3 * rates, labels, trial)
