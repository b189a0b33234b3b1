"""A small session for tests, rates that hold the movement and noise; and methods that a test can fit."""

import numpy as np

from nerlib import Session
from nerlib.models import METHODS, make_method


def make_session(n_trials=40, n_bins=16, n_neurons=10, noise=0.3, seed=0, **about):
    rng = np.random.default_rng(seed)
    direction = np.repeat(45.0 * (np.arange(n_trials) % 8), n_bins)
    speed = np.tile(300 * np.sin(np.linspace(0, np.pi, n_bins)), n_trials)
    angle = np.deg2rad(direction)
    velocity = np.column_stack([speed * np.cos(angle), speed * np.sin(angle)])
    rates = velocity @ rng.normal(size=(2, n_neurons)) / 100
    rates = np.maximum(6 + rates + noise * rng.normal(size=rates.shape), 0)
    trial = np.repeat(np.arange(n_trials), n_bins)
    about = {"name": "Toy", "area": "M1", "monkey": "Toy", "date": "20200101", **about}
    return Session(rates, velocity, direction, trial, **about)


def small(*names, max_iter=10, batch_size=32, **more):
    """Methods of the table with few steps: name -> unfitted estimator."""
    given = {"max_iter": max_iter, "batch_size": batch_size, **more}
    known = {name: METHODS[name][0]().get_params() for name in names}
    return {name: make_method(name, **{k: v for k, v in given.items() if k in known[name]}) for name in names}
