"""Geometry of trajectories: embeddings whose likeness to the hand's paths is known."""

import numpy as np
import pytest
from toy import make_session

from nerlib import geometry, metrics


def geometry_of(make, session):
    parts = session.split()
    return geometry.trajectory_geometry(tuple(make(part) for part in parts), parts)


def rotation(seed, d=3):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def hand(part, d=3):
    """The hand's position in two of d dimensions, and its speed in the third."""
    path = metrics.position(part.velocity, part)
    rest = np.zeros((len(path), d - 2))
    rest[:, :1] = np.linalg.norm(part.velocity, axis=1, keepdims=True)[:, : d - 2]
    return np.hstack([path, rest])


@pytest.mark.parametrize("d", [2, 3, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])  # reflections among them
def test_a_turned_scaled_and_shifted_path_is_seen_as_it_is(session, d, seed):
    found = geometry_of(lambda part: 0.3 * hand(part, d) @ rotation(seed, d) + 5, session)
    assert found["position_view_r2"] == pytest.approx(1) and found["position_linear_r2"] == pytest.approx(1)
    assert found["circular_order"] == 1 and found["neighbor_separation"] == 1
    assert found["velocity_view_r2"] < 0.9


def test_a_sheared_path_needs_a_linear_map(session):
    shear = np.array([[1, 0, 0], [0, 0.2, 0], [0, 0, 1]])
    found = geometry_of(lambda part: hand(part) @ shear @ rotation(0), session)
    assert found["position_linear_r2"] == pytest.approx(1) and found["position_view_r2"] < 0.9
    assert found["circular_order"] == 1  # an ellipse has the order of a circle


def test_scale_and_rotation_change_nothing(session):
    def noisy(part):
        return hand(part) + np.random.default_rng(len(part.trial)).normal(scale=20, size=(len(part.trial), 3))

    plain = geometry_of(noisy, session)
    assert geometry_of(lambda part: 7 * noisy(part) @ rotation(4), session) == pytest.approx(plain)


def test_directions_in_another_order_are_at_chance(session):
    """Each direction's path in the place of another one; over many orders 2/7 of the neighbours are kept."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        angle = np.deg2rad(45.0 * rng.permutation(8))

        def placed(part, angle=angle):
            turned = angle[(part.direction // 45).astype(int)]
            length = np.linalg.norm(metrics.position(part.velocity, part), axis=1)
            return np.column_stack([length * np.cos(turned), length * np.sin(turned)])

        paths = geometry.average_paths(placed(session), session)
        found.append(geometry.circular_order(paths))
    assert np.mean(found) == pytest.approx(2 / 7, abs=0.03)


def test_noise_hides_neighbours(session):
    def separation(scale):
        return geometry_of(
            lambda part: (
                hand(part) + scale * np.random.default_rng(len(part.trial)).normal(size=(len(part.trial), 3))
            ),
            make_session(n_trials=400),
        )["neighbor_separation"]

    found = [separation(scale) for scale in (0, 200, 1000, 1e6)]
    assert found[0] == 1 and found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(1 / 3, abs=0.12)


def test_a_constant_dimension_and_a_constant_embedding_are_taken(session):
    found = geometry_of(lambda part: hand(part) * [1, 1, 0], session)
    assert found["position_view_r2"] == pytest.approx(1)
    nothing = geometry_of(lambda part: np.zeros((len(part.trial), 3)), session)
    assert (
        nothing["position_view_r2"] == pytest.approx(0, abs=0.05)
        and np.isfinite(list(nothing.values())).all()
    )


def test_too_few_or_other_directions_are_refused():
    two = make_session().select(np.arange(40) % 8 < 2)
    with pytest.raises(ValueError, match=r"three or more directions.*got \[0.0, 45.0\]"):
        geometry_of(hand, two)
    with pytest.raises(ValueError, match="three or more directions"):
        geometry_of(hand, make_session(n_trials=10))
