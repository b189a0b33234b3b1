"""Joint training: what fits of several sessions need besides the network (Methods page, *Joint training*).

Sessions lie one after the other: bins are counted through all of them. Batches are drawn across sessions
(`sampling.draw_bins`), so that one loss compares bins of all sessions and their embeddings share one space.
"""

from numbers import Integral
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_X_y

from nerlib.models._common import LABELLED, check_numbers, seeded, train
from nerlib.session import trial_bounds

_ANCHOR_BINS = 2048  # bins of the fitted sessions that a model remembers, to align a new session with
_STARTS = 3  # first layers that are tried for a new session, each for a third of the steps
_SOFT = 0.3  # share of the neurons' mean standard deviation that is added to each: silent neurons stay small


class Anchors(NamedTuple):
    """Bins of the sessions that the network was trained on, as they are embedded: whole trials, at random."""

    embedding: np.ndarray  # float32 (M, d)
    labels: np.ndarray  # float64 (M, k)
    trial: np.ndarray  # int (M,)


def is_list(X) -> bool:
    """Whether the rates are those of several sessions: a list or tuple of 2-D arrays."""
    return isinstance(X, (list, tuple)) and any(getattr(rates, "ndim", 0) == 2 for rates in X)


def check_sessions(method, X, y, trial):
    """Rates, labels and trial ids or None of each session of a list, validated."""
    number, trial = len(X), [None] * len(X) if trial is None else trial
    for name, given in {"y": y, "trial": trial}.items():
        if not isinstance(given, (list, tuple)) or len(given) != number:
            found = f"{len(given)} of them" if isinstance(given, (list, tuple)) else type(given).__name__
            expected = f"X is a list of {number} sessions, so {name} must be a list of {number} arrays"
            raise ValueError(f"{expected}; got {found}")
    given = enumerate(zip(X, y, trial, strict=True))
    sessions = [check_session(method, *arrays, f"session {i}") for i, arrays in given]
    columns = [labels.shape[1] for _, labels, _ in sessions]
    if len(set(columns)) > 1:
        raise ValueError(f"sessions must have the same label columns; theirs number {columns}")
    return sessions


def check_session(method, X, y, trial, name):
    """Rates, labels (T, k) and trial ids or None of one session among several, validated."""
    try:
        X, y = check_X_y(X, y, estimator=type(method).__name__, **LABELLED)
        return X, np.array(y, np.float64).reshape(len(X), -1), method._check_trial(trial, len(X), 1)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def pool(sessions):
    """Labels, trial ids that are unique across sessions (None for one session without), and lengths."""
    lengths = [len(rates) for rates, *_ in sessions]
    if len(sessions) == 1:
        return *sessions[0][1:], lengths
    trials, first = [], 0
    for length, (_, _, trial) in zip(lengths, sessions, strict=True):
        own = np.zeros(length, int) if trial is None else np.unique(trial, return_inverse=True)[1]
        trials.append(own + first)
        first += own.max() + 1
    return np.concatenate([labels for _, labels, _ in sessions]), np.concatenate(trials), lengths


def joined(parts, lengths):
    """One callable for the bins of all sessions, from one for those of each: (B,) -> tensor (B, …)."""
    ends = np.cumsum(lengths)

    def gather(bins):
        session = np.searchsorted(ends, bins, side="right")
        order = np.argsort(session, kind="stable")
        cuts = np.cumsum(np.bincount(session, minlength=len(parts)))[:-1]
        own = zip(parts, np.split(bins[order], cuts), ends - lengths, strict=True)
        pieces = torch.cat([part(mine - start) for part, mine, start in own if len(mine)])
        return pieces.index_select(0, torch.as_tensor(np.argsort(order), device=pieces.device))

    return gather


def distinct(encoders):
    """The first encoder, and of the others, which share all layers but one, that layer."""
    return torch.nn.ModuleList([encoders[0], *(other[0] for other in encoders[1:])])


def statistics(rates):
    """Mean and scale of each neuron; the scale is never small beside that of the other neurons."""
    deviation = rates.std(axis=0)
    return rates.mean(axis=0), np.maximum(deviation + _SOFT * deviation.mean(), np.finfo(np.float32).tiny)


def fold(first, mean, scale):
    """Let a first layer that was trained on (rates − mean) / scale take rates as they are."""
    bins = first.in_features // len(mean)
    mean, scale = (torch.as_tensor(np.tile(v, bins)).to(first.weight) for v in (mean, scale))
    with torch.no_grad():
        first.weight /= scale
        first.bias -= first.weight @ mean


def train_jointly(method, encoders, sessions, objective, generator):
    """Fit the first layers and the shared ones to standardised rates; returns the loss of each step."""
    device, parts = encoders[0][0].weight.device, []
    standards = [statistics(rates) for rates, *_ in sessions]
    for encoder, (mean, scale), (rates, _, trial) in zip(encoders, standards, sessions, strict=True):
        gather = method._gatherer((rates - mean) / scale, trial, device, generator)
        parts.append(lambda bins, first=encoder[0], gather=gather: first(gather(bins)))
    gather = joined(parts, [len(rates) for rates, *_ in sessions])
    trunk, weights = torch.nn.Sequential(*list(encoders[0])[1:]), distinct(encoders).parameters()
    losses = train(method, weights, lambda bins: encoders[0].place(trunk(gather(bins))), objective)
    for encoder, standard in zip(encoders, standards, strict=True):
        fold(encoder[0], *standard)
    return losses


def calibrate(method, rates, labels, trial, max_iter):
    """Fit a first layer to a new session and to the anchors; see `EncoderMethod.add_session`."""
    check_numbers(SimpleNamespace(max_iter=max_iter), Integral, "max_iter", optional=True)
    new, anchors, steps = len(method.encoders_), method.anchors_, max_iter or method.max_iter
    device = method.encoder_[0].weight.device
    given = method.random_state if isinstance(method.random_state, Integral) else 0
    seeds = np.random.default_rng([given, new]).integers(np.iinfo(np.int32).max, size=3)
    all_labels, all_trials, lengths = pool([anchors, (rates, labels, trial)])
    mean, scale = statistics(rates)
    points = torch.as_tensor(anchors.embedding, device=device)

    def fit(encoder, steps):
        """The mean loss of the last half of the steps; every start sees the same batches."""
        rng, generator = np.random.default_rng(seeds[0]), torch.Generator(device).manual_seed(int(seeds[2]))
        with seeded(int(seeds[1])):
            objective = method._objective(all_labels, all_trials, rng, device, lengths, anchors.embedding)
        gather = method._gatherer((rates - mean) / scale, trial, device, generator)
        embed = joined([lambda bins: points[bins], lambda bins: encoder(gather(bins))], lengths)
        losses = train(method, encoder[0].parameters(), embed, objective, steps)
        return losses[steps // 2 :].mean()

    with seeded(int(seeds[1])):
        starts = [method.encoder_.for_session(rates.shape[1], method.window) for _ in range(_STARTS)]
    shared = torch.nn.Sequential(*list(starts[0])[1:]).requires_grad_(False)
    early = max(1, steps // _STARTS)
    try:
        encoder = min((start.to(device) for start in starts), key=lambda start: fit(start, early))
        fit(encoder, max(1, steps - early))
    finally:
        shared.requires_grad_(True)
    fold(encoder[0], mean, scale)
    method.encoders_.append(encoder.eval())
    return new


def remember(method, sessions, seed):
    """The anchors of a fitted method: whole trials at random, about as many bins of each session."""
    trials = [np.zeros(len(rates), int) if trial is None else trial for rates, _, trial in sessions]
    quota, rng, kept = _ANCHOR_BINS // len(trials), np.random.default_rng(seed), []
    for number, (trial, (rates, labels, _)) in enumerate(zip(trials, sessions, strict=True)):
        starts, length = trial_bounds(trial)
        order = rng.permutation(len(starts))
        chosen = np.isin(np.arange(len(starts)), order[np.cumsum(length[order]) <= quota])
        if not chosen.any():  # a trial is longer than that: its first bins
            chosen[order[0]] = True
        rows = np.flatnonzero(np.repeat(chosen, length))[:quota]
        kept.append((method._embed(rates[rows], trial[rows], number), labels[rows], trial[rows]))
    labels, trial, _ = pool(kept)
    points = np.concatenate([points for points, *_ in kept])
    return Anchors(points, labels, trial.astype(np.int64))
