"""The figures of the book. Every figure made from simulated sessions says so."""

from nerlib.plots.scores import accuracy, consistency, growth, matrices, methods, scores
from nerlib.plots.sessions import (
    decoded,
    decoded_against_true,
    direction_color,
    distances,
    gallery,
    interactive,
    loss_curve,
    trajectories,
)

__all__ = [
    "accuracy",
    "consistency",
    "decoded",
    "decoded_against_true",
    "direction_color",
    "distances",
    "gallery",
    "growth",
    "interactive",
    "loss_curve",
    "matrices",
    "methods",
    "scores",
    "trajectories",
]
