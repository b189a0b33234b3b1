"""Alignment: known maps are found again, noise does little harm, and what cannot be aligned is refused."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from toy import make_session

from nerlib.alignment import align, align_affine, common_averages

PROTOCOLS = pytest.mark.parametrize("protocol", ["corrected", "published"])


def embedding(session, seed=0):
    """Points on a sphere that follow the movement."""
    plane = session.velocity / 300
    return np.column_stack([plane, np.sqrt(np.maximum(1 - (plane**2).sum(axis=1), 0))])


@pytest.fixture
def session():
    return make_session()


@PROTOCOLS
@pytest.mark.parametrize("seed", range(4))
def test_known_rotations_and_reflections_are_found(session, protocol, seed):
    turn = ortho_group.rvs(3, random_state=seed)
    z = embedding(session)
    assert align(z, z @ turn, session, session, protocol=protocol) == pytest.approx(turn, abs=1e-8)
    assert np.linalg.det(align(z, -z, session, session, protocol=protocol)) == pytest.approx(-1)


def test_known_affine_maps_are_found(session):
    rng = np.random.default_rng(0)
    matrix, offset, z = rng.normal(size=(3, 3)), rng.normal(size=3), embedding(session)
    found = align_affine(z, z @ matrix + offset, session, session)
    assert found[0] == pytest.approx(matrix, abs=1e-8) and found[1] == pytest.approx(offset, abs=1e-8)


@PROTOCOLS
def test_noise_degrades_gracefully(session, protocol):
    turn, z = ortho_group.rvs(3, random_state=0), embedding(session)
    rng = np.random.default_rng(1)
    off = [
        np.linalg.norm(
            align(z, z @ turn + s * rng.normal(size=z.shape), session, session, protocol=protocol) - turn
        )
        for s in (0.01, 0.1, 1.0)
    ]
    assert off[0] < 0.02 and off[1] < 0.2 and off[0] < off[1] < off[2]


@PROTOCOLS
def test_turning_the_source_changes_nothing_downstream(protocol):
    a, b = make_session(seed=0), make_session(seed=1, n_trials=48)
    rng = np.random.default_rng(0)
    source = embedding(a) + 0.2 * rng.normal(size=(len(a.trial), 3))
    target = embedding(b) @ ortho_group.rvs(3, random_state=1) + 0.2 * rng.normal(size=(len(b.trial), 3))
    turn = ortho_group.rvs(3, random_state=2)
    before = source @ align(source, target, a, b, protocol=protocol)
    after = source @ turn @ align(source @ turn, target, a, b, protocol=protocol)
    assert after == pytest.approx(before, abs=1e-9)


def test_published_protocol_by_its_definition():
    a, b = make_session(seed=0), make_session(seed=1)
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(len(a.trial), 3)), rng.normal(size=(len(b.trial), 3))
    turns, piecewise = [], np.empty_like(source)
    for direction in np.unique(a.direction):
        mean_a, mean_b = (
            np.mean([z[s.trial == t] for t in np.unique(s.trial[s.direction == direction])], axis=0)
            for z, s in ((source, a), (target, b))
        )
        turns.append(orthogonal_procrustes(mean_a, mean_b)[0])
        piecewise[a.direction == direction] = source[a.direction == direction] @ turns[-1]
    nearest = min(turns, key=lambda turn: np.linalg.norm(source @ turn - piecewise))
    assert align(source, target, a, b, protocol="published") == pytest.approx(nearest, abs=1e-9)


@PROTOCOLS
def test_what_both_have_is_used(protocol):
    """Directions that one session lacks, and bins beyond its trials, do not matter."""
    whole, turn = make_session(n_bins=16), ortho_group.rvs(3, random_state=0)
    few = whole.select(np.flatnonzero(whole.direction[whole.trial_starts] < 200))
    target = embedding(few) @ turn
    assert align(embedding(whole), target, whole, few, protocol=protocol) == pytest.approx(turn, abs=1e-8)
    directions, *averages = common_averages([embedding(whole), target], [whole, few])
    assert directions.tolist() == [0, 45, 90, 135, 180] and averages[0].shape == averages[1].shape == (
        5,
        16,
        3,
    )


def test_refusals(session):
    z = embedding(session)
    north, south = (session.select(session.direction[session.trial_starts] == d) for d in (90, 270))
    cases = [
        ((z[1:], z, session, session), {}, r"640 bins.*\(640, d\); got \(639, 3\)"),
        ((z, z[:, :2], session, session), {}, "3 and 2 dimensions"),
        ((z, z * np.nan, session, session), {}, "NaN"),
        ((z, z, session, session), {"protocol": "best"}, "corrected or published; got 'best'"),
        ((embedding(north), embedding(south), north, south), {}, "no direction in common"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            align(*arguments, **options)
