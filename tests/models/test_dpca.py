"""dPCA: parity with the dPCA package, oracles for its parts, planted structure, and errors that help."""

import warnings

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.base import clone

from nerlib.decoders import LinearDecoder
from nerlib.models.dpca import _STRENGTHS, DPCA, _fit_averages, held_out_error, marginalise

N_DIRECTIONS, N_BINS, N_NEURONS, NAMES = 8, 20, 30, ("stimulus", "time", "mixed")
SIZES = np.array([3.0, 2.0, 1.3])  # of the components of a marginalisation, apart enough to be told apart


def planted(n_trials=12, noise=1.0, seed=0):
    """Trials with three components of direction, three of time and three of both, on nine orthogonal axes.

    Returns rates, labels, trial as `fit` takes them, the axes (dict of arrays (N, 3)), and the latents of
    the stimulus (T, 3).
    """
    rng = np.random.default_rng(seed)
    stimulus = rng.normal(size=(N_DIRECTIONS, 1, 3))
    time = rng.normal(size=(1, N_BINS, 3)).cumsum(axis=1) / 2
    mixed = rng.normal(size=(N_DIRECTIONS, N_BINS, 3))
    stimulus = stimulus - stimulus.mean(axis=0)
    time = time - time.mean(axis=1)
    mixed = mixed - mixed.mean(axis=0) - mixed.mean(axis=1, keepdims=True) + mixed.mean(axis=(0, 1))
    axes = np.split(np.linalg.qr(rng.normal(size=(N_NEURONS, 9)))[0], 3, axis=1)
    parts = [np.broadcast_to(p, mixed.shape).reshape(-1, 3) for p in (stimulus, time, mixed)]
    latents = [(np.linalg.qr(p)[0] * SIZES * np.sqrt(len(p))).reshape(mixed.shape) for p in parts]
    averages = sum(part @ axis.T for part, axis in zip(latents, axes, strict=True)) + 5.0
    order = rng.permutation(np.repeat(np.arange(N_DIRECTIONS), n_trials))
    rates = averages[order] + noise * rng.normal(size=(len(order), N_BINS, N_NEURONS))
    labels = np.column_stack([rng.normal(size=(len(order) * N_BINS, 2)), np.repeat(45.0 * order, N_BINS)])
    embedded = latents[0][order].reshape(-1, 3)
    trial = np.repeat(np.arange(len(order)), N_BINS)
    return rates.reshape(-1, N_NEURONS), labels, trial, dict(zip(NAMES, axes, strict=True)), embedded


@pytest.fixture(scope="module")
def data():
    return planted()[:3]


def averages_of(rates, labels, trial):
    """Averages (K, bins, N) by a plain loop."""
    per_trial = {t: (labels[trial == t][0, -1], rates[trial == t]) for t in np.unique(trial)}
    directions = sorted({direction for direction, _ in per_trial.values()})
    return np.array([np.mean([r for d, r in per_trial.values() if d == k], axis=0) for k in directions])


@pytest.mark.parametrize("strength", [0.0, 0.01, 0.1, 0.5])
def test_parity_with_the_dpca_package(data, strength):
    """Same averages, same λ: the same subspaces and shares of variance, up to rounding.

    n_iter: by default the package's randomised singular vectors are some degrees off in these data.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip("dPCA.dPCA", reason="the dPCA package is the reference")
    ours = DPCA(regularizer=strength, random_state=0).fit(*data)
    averages = averages_of(*data).transpose(2, 0, 1)
    norm = np.linalg.norm(averages - averages.mean(axis=(1, 2), keepdims=True))
    theirs = package.dPCA(labels="st", n_components=3, regularizer=strength / norm, n_iter=20)
    state = np.random.get_state()
    try:
        np.random.seed(0)  # of its randomised singular vectors
        transformed = theirs.fit(averages).transform(averages)
    finally:
        np.random.set_state(state)
    for name, key in zip(NAMES, ("s", "t", "st"), strict=True):
        for mine, other in ((ours.decoders_, theirs.D), (ours.encoders_, theirs.P)):
            assert np.rad2deg(subspace_angles(mine[name], other[key]).max()) < 1e-6
        assert np.allclose(ours.explained_variance_[name], theirs.explained_variance_ratio_[key], rtol=1e-9)
    embedding = ours.transform(averages.transpose(1, 2, 0).reshape(-1, N_NEURONS))
    reference = transformed["s"].reshape(3, -1).T
    signs = np.sign((embedding * reference).sum(axis=0))
    assert np.allclose(embedding, signs * reference, atol=1e-9 * np.abs(reference).max())


def test_marginalisation_against_a_loop():
    averages = np.random.default_rng(0).normal(size=(4, 5, 6))
    averages -= averages.mean(axis=(0, 1))
    parts = marginalise(averages)
    for direction in range(4):
        for bin_ in range(5):
            for neuron in range(6):
                stimulus = sum(averages[direction, b, neuron] for b in range(5)) / 5
                time = sum(averages[d, bin_, neuron] for d in range(4)) / 4
                mixed = averages[direction, bin_, neuron] - stimulus - time
                found = [parts[name][direction, bin_, neuron] for name in NAMES]
                assert np.allclose(found, [stimulus, time, mixed])
    assert np.allclose(sum(parts.values()), averages)
    inner = np.array([[(parts[a] * parts[b]).sum() for a in NAMES] for b in NAMES])
    assert np.allclose(inner, np.diag(np.diag(inner)))


def test_held_out_error_against_the_formula():
    """The equation of the docstring in plain matrices, neurons in rows as Kobak et al. write them."""
    rng = np.random.default_rng(0)
    averages = rng.normal(size=(4, 5, 6))
    averages -= averages.mean(axis=(0, 1))
    held_out = averages + 0.5 * rng.normal(size=averages.shape)
    X, test = averages.reshape(20, 6).T, held_out.reshape(20, 6).T
    for strength in (0.01, 0.1, 1.0):
        penalty = (strength * np.linalg.norm(X)) ** 2 * np.eye(6)
        error = 0.0
        for part in marginalise(averages).values():
            A = part.reshape(20, 6).T @ X.T @ np.linalg.inv(X @ X.T + penalty)
            F = np.linalg.eigh(A @ (X @ X.T + penalty) @ A.T)[1][:, -2:]
            error += np.linalg.norm(part.reshape(20, 6).T - F @ F.T @ A @ test) ** 2
        found = held_out_error(averages, held_out, np.array([strength]), 2)
        assert np.allclose(found, error / np.linalg.norm(X) ** 2)


def test_the_picked_strength_is_the_best_of_the_grid(data):
    """Every trial of each direction is held out once; four of them, so that all are drawn."""
    rates, labels, trial, *_ = planted(n_trials=4)
    model = DPCA(random_state=0).fit(rates, labels, trial)
    by_direction = [np.unique(trial[labels[:, 2] == d]) for d in model.directions_]
    errors = np.zeros((20, len(_STRENGTHS)))
    for draw in range(20):
        rng = np.random.default_rng(draw)
        chosen = [rng.choice(trials) for trials in by_direction]
        kept = ~np.isin(trial, chosen)
        averages = averages_of(rates[kept], labels[kept], trial[kept])
        held_out = np.array([rates[trial == t] for t in chosen])
        mean = averages.mean(axis=(0, 1))
        errors[draw] = held_out_error(averages - mean, held_out - mean, _STRENGTHS, 3)
    best = errors.mean(axis=0)
    picked = np.flatnonzero(_STRENGTHS == model.regularizer_)[0]
    assert abs(picked - best.argmin()) <= 1  # other draws may prefer a neighbour


def test_planted_subspaces_and_latents_are_recovered():
    """Axes within 5°; latents of held-out trials nearly as well as the noise allows; shares of variance."""
    rates, labels, trial, axes, latents = planted(n_trials=30, noise=0.5)
    train = trial < 160
    model = DPCA(random_state=0).fit(rates[train], labels[train], trial[train])
    for name in NAMES:
        assert np.rad2deg(subspace_angles(model.encoders_[name], axes[name]).max()) < 5
    embedding = model.transform(rates[~train])
    residual = latents[~train] - embedding @ np.linalg.lstsq(embedding, latents[~train])[0]
    possible = 1 - (SIZES**2 * 0.5**2 / (SIZES**2 + 0.5**2)).sum() / (SIZES**2).sum()
    assert possible - 0.01 < 1 - (residual**2).sum() / (latents[~train] ** 2).sum() < possible + 0.01
    model.set_params(regularizer=0.01).fit(rates[train], labels[train], trial[train])
    explained = np.array([model.explained_variance_[name] for name in NAMES])
    assert np.allclose(explained, SIZES**2 / (3 * (SIZES**2).sum()), atol=0.02)


def test_more_noise_asks_for_more_regularisation():
    strengths = [
        DPCA(random_state=0).fit(*planted(noise=noise)[:3]).regularizer_ for noise in (0.2, 1.0, 3.0, 8.0)
    ]
    assert np.all(np.diff(strengths) > 0)
    assert _STRENGTHS[0] < strengths[0] and strengths[-1] < _STRENGTHS[-1]


def test_scale_and_offset_of_the_rates_do_not_matter(data):
    rates, labels, trial = data
    first = DPCA(random_state=0).fit(rates, labels, trial)
    second = DPCA(random_state=0).fit(8.0 * rates + 3.0, labels, trial)
    assert first.regularizer_ == second.regularizer_
    assert np.allclose(second.transform(8.0 * rates + 3.0), 8.0 * first.transform(rates))


def test_same_seed_same_bits_and_global_state_untouched(data):
    before = np.random.get_state()[1].copy()
    rates, labels, trial = data
    kept = trial != trial[labels[:, 2] == 45][0]  # unequal counts, so that trials are drawn
    some = rates[kept], labels[kept], trial[kept]
    first, second, other = (DPCA(random_state=seed).fit(*some).transform(rates) for seed in (0, 0, 1))
    assert np.array_equal(first, second) and not np.array_equal(first, other)
    assert np.array_equal(before, np.random.get_state()[1])
    fixed = [DPCA(regularizer=0.1, random_state=seed).fit(*data).transform(rates) for seed in (0, 1)]
    assert np.allclose(*fixed)  # equal counts: nothing is left out


def test_unequal_counts_enter_as_the_smallest(data):
    rates, labels, trial = data
    dropped = np.concatenate(
        [np.unique(trial[labels[:, 2] == d])[:n] for d, n in ((0, 3), (90, 7), (315, 1))]
    )
    kept = ~np.isin(trial, dropped)
    model = DPCA(random_state=0).fit(rates[kept], labels[kept], trial[kept])
    assert (model.n_trials_, model.n_bins_) == (5, N_BINS)
    assert model.directions_.tolist() == [0, 45, 90, 135, 180, 225, 270, 315]


def test_long_trials_lose_their_last_bins(data):
    rates, labels, trial = data
    place = np.tile(np.arange(N_BINS), len(rates) // N_BINS)
    ragged, cut = place < np.where(trial % 3 == 0, 15, N_BINS), place < 15
    first, second = (
        DPCA(random_state=0).fit(rates[kept], labels[kept], trial[kept]) for kept in (ragged, cut)
    )
    assert first.n_bins_ == 15
    assert np.array_equal(first.transform(rates), second.transform(rates))


def test_follows_the_conventions_of_scikit_learn(data, capsys):
    rates, labels, trial = data
    model = DPCA(2, regularizer=0.1, random_state=3)
    assert clone(model).get_params() == DPCA().get_params() | {
        "n_components": 2,
        "regularizer": 0.1,
        "random_state": 3,
    }
    assert DPCA().get_params() == {
        "n_components": 3,
        "regularizer": "auto",
        "window": 1,
        "random_state": None,
    }
    model.set_params(n_components=3)
    assert model.fit(rates, labels, trial) is model
    assert np.array_equal(model.fit_transform(rates, labels, trial), model.transform(rates, trial))
    assert np.allclose(clone(model).fit(rates, labels[:, 2], trial).transform(rates), model.transform(rates))
    assert model.get_feature_names_out().tolist() == ["dpca0", "dpca1", "dpca2"]
    assert all(model.decoders_[name].shape == (N_NEURONS, 3) for name in NAMES)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components must be positive"),
        ({"n_components": 2.5}, TypeError, "n_components must be an integer; got 2.5 of type float"),
        (
            {"n_components": 8},
            ValueError,
            "n_components=8 must be less than the 8 directions and the 20 bins",
        ),
        ({"regularizer": -1.0}, ValueError, "regularizer must be finite and not negative; got -1.0"),
        ({"regularizer": float("nan")}, ValueError, "regularizer must be finite"),
        ({"regularizer": "best"}, TypeError, "regularizer must be \"auto\" or a number; got 'best'"),
        ({"regularizer": None}, TypeError, 'regularizer must be "auto" or a number; got None'),
        ({"regularizer": True}, TypeError, 'regularizer must be "auto" or a number; got True'),
    ],
)
def test_bad_parameters_are_refused(data, parameters, error, message):
    with pytest.raises(error, match=message):
        DPCA(**parameters).fit(*data)


def test_bad_trials_are_refused(data):
    rates, labels, trial = data
    changed = labels.copy()
    changed[7 * N_BINS + 3, 2] += 45
    single = ~np.isin(trial, np.unique(trial[labels[:, 2] == 90])[1:])
    scattered = trial.copy()
    scattered[-1] = trial[0]
    for fields, message in (
        ((rates, labels, None), "dPCA averages over trials: give fit the trial of each bin"),
        (
            (rates, labels, trial[:-1]),
            r"trial must be an integer array of one entry per bin, shape \(1920,\)",
        ),
        ((rates, labels, trial.astype(float)), "trial must be an integer array"),
        ((rates, labels, scattered), "the bins of each trial must be contiguous"),
        ((rates, changed, trial), r"the direction \(last label column\) changes within trial 7"),
        ((rates, 0 * labels, trial), "all trials have direction 0; dPCA needs at least two"),
        (tuple(a[single] for a in data), "direction 90 has a single trial"),
    ):
        with pytest.raises(ValueError, match=message):
            DPCA().fit(*fields)


def test_bad_data_are_refused(data):
    rates, labels, trial = data
    for broken in (0, 1):
        spoiled = [rates.copy(), labels.copy(), trial]
        spoiled[broken][3, 1] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            DPCA().fit(*spoiled)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        DPCA().fit(rates, labels[:-1], trial)
    with pytest.raises(ValueError, match="30 features"):
        DPCA(regularizer=0.1).fit(*data).transform(rates[:, :5])
    with pytest.raises(ValueError, match="n_components=3, but the trial averages have rank 2"):
        DPCA().fit(rates * (np.arange(N_NEURONS) < 2), labels, trial)


def test_recorded_session_is_told_apart_by_direction(chewie):
    """Chewie 20161007, M1, ten seeds, held out: direction 0.79 to 0.88; permuted movements 0 to 0.26."""

    def held_out(train, test):
        model = DPCA(random_state=0).fit(train.rates, train.labels, train.trial)
        decoder = LinearDecoder().fit(model.transform(train.rates), train)
        return decoder.score(model.transform(test.rates), test, held_out=True)["corrected"]

    train, test = chewie.split()
    scores, chance = held_out(train, test), held_out(train.permute_movements(0), test)
    assert scores["direction_accuracy"] >= 0.7 and scores["position_r2"] >= 0.78
    assert scores["velocity_r2"] >= 0.34
    assert chance["direction_accuracy"] <= 0.3 and chance["position_r2"] < 0.2


def test_more_inputs_than_averages_and_a_marginalisation_of_low_rank():
    """Encoders and decoders against singular vectors, with 90 inputs, 24 averages, one of them twice."""
    rng = np.random.default_rng(0)
    averages = rng.normal(size=(4, 6, 90))
    averages[3] = averages[2]  # the stimulus parts have rank 2
    averages -= averages.mean(axis=(0, 1))
    X, strength = averages.reshape(-1, 90), 0.1
    for name, (decoders, encoders) in _fit_averages(averages, np.array([strength]), 3).items():
        full = np.linalg.solve(X.T @ X + strength**2 * (X**2).sum() * np.eye(90), X.T)
        restored = full @ marginalise(averages)[name].reshape(X.shape)  # (90, 90), the ridge regression
        ridge = np.vstack([X, strength * np.linalg.norm(X) * np.eye(90)]) @ restored
        rank = 2 if name == "stimulus" else 3
        expected = np.linalg.svd(ridge)[2][:rank].T
        assert np.allclose(np.abs((expected * encoders[0][:, :rank]).sum(axis=0)), 1)
        assert np.allclose(encoders[0].T @ encoders[0], np.eye(3))
        assert np.allclose(decoders[0], restored @ encoders[0])
