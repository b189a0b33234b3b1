"""Geometry of trajectories: embeddings whose scores are known, chance, and invariances."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from toy import make_session

from companion.geometry import circular_order, fit_rotation, trajectory_geometry
from nerlib.metrics import position

R2 = [f"{of}_{by}_r2" for of in ("position", "velocity", "integrated") for by in ("rotation", "linear")]
ORDER = ["circular_order", "circular_order_trials"]


@pytest.fixture(scope="module")
def parts():
    return make_session(n_trials=200).split()


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def position_of(part):
    return position(part.velocity, part)


def score(parts, embed):
    train, test = parts
    return trajectory_geometry(embed(train), train, embed(test), test)


def values(scores, names):
    return [scores[name] for name in names]


@pytest.mark.parametrize("d", [2, 3, 16])
@pytest.mark.parametrize("mirror", [1, -1])
def test_a_rotated_or_reflected_hand_path_scores_one(parts, d, mirror):
    turn = rotation(d)[:2] * [[1.0], [mirror]]
    along_position = score(parts, lambda part: 0.02 * position_of(part) @ turn + 7)
    along_velocity = score(parts, lambda part: 0.02 * part.velocity @ turn + 7)
    assert values(along_position, ["position_rotation_r2", "position_linear_r2"]) == pytest.approx([1, 1])
    assert values(along_velocity, R2[2:]) == pytest.approx(np.ones(4))
    for scores in (along_position, along_velocity):
        assert values(scores, ORDER) == [1, 1]
    assert along_position["velocity_linear_r2"] < 0.6 > along_velocity["position_linear_r2"]


@pytest.mark.parametrize("d", [2, 3, 16])
def test_a_stretched_path_is_linear_but_no_rotation(parts, d):
    """Singular values 1 and 3 of the map from an isotropic path give (1 + 3)² / (2 (1² + 3²)) in any d."""
    stretched = np.diag([1, 3]) @ rotation(d)[:2]
    scores = score(parts, lambda part: position_of(part) @ stretched)
    assert scores["position_linear_r2"] == pytest.approx(1)
    assert scores["position_rotation_r2"] == pytest.approx(0.8)


def test_movement_out_of_the_hands_plane_is_error(parts):
    """With speed as the third dimension, the rotation explains the plane's share of the latent variance."""
    scores = score(parts, lambda part: np.c_[part.velocity, np.linalg.norm(part.velocity, axis=1)])
    speed = np.sin(np.linspace(0, np.pi, 16))
    share = (speed**2).mean() / ((speed**2).mean() + speed.var())
    assert scores["velocity_rotation_r2"] == pytest.approx(share)
    assert scores["velocity_linear_r2"] == pytest.approx(1)


@pytest.mark.parametrize("d", [2, 3, 16])
def test_noise_is_at_chance_and_held_out(parts, d):
    rng = np.random.default_rng(d)
    scores = score(parts, lambda part: rng.normal(size=(len(part.trial), d)))
    assert max(values(scores, R2)) < 0.05
    assert scores["circular_order_trials"] < 0.15
    assert scores["neighbor_separation"] == pytest.approx(0.5, abs=0.06)


def test_scores_fall_with_noise(parts):
    def noisy(level):
        rng = np.random.default_rng(0)
        return lambda part: part.velocity + level * rng.normal(size=part.velocity.shape)

    table = [score(parts, noisy(level)) for level in (0, 100, 300, 1000)]
    for name in ("neighbor_separation", "velocity_rotation_r2", "velocity_linear_r2"):
        found = [scores[name] for scores in table]
        assert (np.diff(found) < 0).all(), name
    assert table[0]["neighbor_separation"] > 0.99


def test_rotation_reflection_shift_and_scale_change_nothing(parts):
    def embed(part):
        rng = np.random.default_rng(part.n_trials)
        return np.column_stack([part.velocity, position_of(part)]) + 200 * rng.normal(
            size=(len(part.trial), 4)
        )

    before = score(parts, embed)
    after = score(parts, lambda part: 1e-3 * embed(part) @ rotation(4) - 2)
    assert after == pytest.approx(before)
    wider = score(parts, lambda part: np.pad(embed(part), [(0, 0), (2, 3)], constant_values=4))
    assert wider == pytest.approx(before)  # dimensions that are constant


def test_directions_relabelled_at_random_are_at_chance(parts):
    rng = np.random.default_rng(0)

    def relabelled(part, to):
        return replace(part, direction=45.0 * to[(part.direction / 45).astype(int)])

    embeddings = [part.velocity for part in parts]
    orders = [rng.permutation(8) for _ in range(200)]
    labelled = [[relabelled(part, to) for part in parts] for to in orders]
    found = [trajectory_geometry(embeddings[0], a, embeddings[1], b) for a, b in labelled]
    average = np.mean([scores["circular_order"] for scores in found])
    assert average == pytest.approx(found[0]["circular_order_chance"], abs=0.04)


def test_circular_order_is_a_count_of_triples():
    rng = np.random.default_rng(0)
    angles, directions = rng.uniform(-np.pi, np.pi, 12), 45.0 * rng.integers(0, 8, 12)

    def turn(x):
        a, b, c = x
        return np.sign(np.sin(b - a) + np.sin(c - b) + np.sin(a - c)) * (len({*np.round(x, 9)}) == 3)

    triples = [list(triple) for triple in combinations(range(12), 3)]
    turns = np.array([[turn(angles[t]), turn(np.deg2rad(directions)[t])] for t in triples])
    expected = abs(turns.prod(axis=1).sum()) / abs(turns[:, 1]).sum()
    assert circular_order(angles, directions) == pytest.approx(expected)


def test_circular_order_by_hand():
    eight = np.arange(8)
    assert circular_order(np.roll(eight, 3), eight) == circular_order(-eight, eight) == 1
    swapped = np.array([1, 0, 2, 3, 4, 5, 6, 7])  # 6 of 56 triples hold both and turn the other way
    assert circular_order(swapped, eight) == pytest.approx(1 - 2 * 6 / 56)


def test_chance_is_the_mean_over_all_orders(parts):
    rest = [np.array([0, *order]) for order in permutations(range(1, 8))]
    exact = np.mean([circular_order(order, np.arange(8)) for order in rest])
    scores = score(parts, lambda part: part.velocity)
    assert scores["circular_order_chance"] == pytest.approx(exact, abs=0.006)


def test_a_line_has_no_circular_order(parts):
    scores = score(parts, lambda part: part.velocity[:, :1] * [[0.6, 0.0, 0.8]])
    assert values(scores, ORDER) == [0, 0]


def test_a_ring_away_from_the_start_is_no_order_around_it(parts):
    def embed(part):
        return part.velocity + 900 * (part.bin_in_trial > 0)[:, None]

    assert score(parts, embed)["circular_order"] < 0.5


@pytest.mark.parametrize("kept", [(0, 90, 225), (0, 45, 90, 135, 270)])
def test_any_directions_from_three_on(parts, kept):
    fewer = [p.select(np.isin(p.direction[p.trial_starts], kept)) for p in parts]
    scores = score(fewer, lambda part: part.velocity)
    assert values(scores, ["velocity_rotation_r2", *ORDER]) == pytest.approx([1, 1, 1])
    mixed = score((parts[0], fewer[1]), lambda part: part.velocity)
    assert mixed["circular_order_chance"] == scores["circular_order_chance"]
    assert score(fewer[::-1], lambda part: part.velocity).keys() == scores.keys()


def test_fit_rotation_returns_a_rotation_and_a_scale():
    rng = np.random.default_rng(0)
    latent, hand = rng.normal(size=(8, 20, 5)), rng.normal(size=(8, 20, 2))
    matrix, offset = fit_rotation(latent, hand)
    assert np.allclose(matrix @ matrix.T, np.eye(5) * (matrix[0] @ matrix[0]))
    assert np.allclose((latent @ matrix + offset).mean(axis=(0, 1)), [*hand.mean(axis=(0, 1)), 0, 0, 0])


def test_bad_input_is_refused(parts):
    train, test = parts
    pair = [p.select(np.isin(p.direction[p.trial_starts], (0, 45))) for p in parts]
    with pytest.raises(ValueError, match="at least 3 common directions; got 2"):
        score(pair, lambda part: part.velocity)
    with pytest.raises(ValueError, match=r"same dimensions, 2 or more; got \[1, 1\]"):
        score(parts, lambda part: part.velocity[:, :1])
    with pytest.raises(ValueError, match=r"same dimensions, 2 or more; got \[3, 2\]"):
        trajectory_geometry(np.zeros((len(train.trial), 3)), train, test.velocity, test)
    with pytest.raises(ValueError, match="do not vary"):
        score(parts, lambda part: np.full((len(part.trial), 3), 0.1))
    with pytest.raises(ValueError, match=r"must be \(640, d\)"):
        trajectory_geometry(train.velocity, train, test.velocity[1:], test)
    with pytest.raises(ValueError, match="NaN"):
        score(parts, lambda part: part.velocity * np.nan)
    with pytest.raises(ValueError, match="no directions to average"):
        score([replace(p, direction=None) for p in parts], lambda part: part.velocity)


def test_position_is_the_integral_of_a_rotated_velocity_however_large_its_third_dimension(parts):
    """A third dimension shrinks the scale of the rotation, which the integral fits again."""
    noise = [np.random.default_rng(seed).normal(size=len(part.trial)) for seed, part in enumerate(parts)]
    lifted = [
        np.c_[part.velocity, 3 * np.linalg.norm(part.velocity, axis=1) + x]
        for part, x in zip(parts, noise, strict=True)
    ]
    turn = rotation(3)
    scores = trajectory_geometry(lifted[0] @ turn, parts[0], lifted[1] @ turn, parts[1])
    assert scores["integrated_rotation_r2"] == pytest.approx(1, abs=1e-3)
    assert scores["velocity_rotation_r2"] < 0.5
