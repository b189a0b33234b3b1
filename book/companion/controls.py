"""Controls that a score must fail, and questions that a reviewer would ask of one.

The first part breaks a session in a known way; the second scores an embedding beyond R²; the third leaves out
folds and directions, and aligns sessions as others do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from nerlib import metrics
from nerlib.alignment import common_averages
from nerlib.decoders import LinearDecoder
from nerlib.runs import Run
from nerlib.session import Session

ONSET = 0.2  # share of the trial's peak speed at which the movement begins
BEFORE, AFTER = 3, 20  # bins around the onset: 90 ms before it to 600 ms after


def shift_by_trials(session: Session) -> Session:
    """Rates of another time: shifted round the session by a third of it and half a trial.

    Whatever drifts slowly stays; which trial and which time a rate belongs to is lost.
    """
    bins = int(session.trial_starts[session.n_trials // 3] + session.trial_lengths[0] // 2)
    return replace(session, rates=np.roll(session.rates, bins, axis=0))


def shift_within_trials(session: Session, seed: int) -> Session:
    """Rates of another time of the same trial: shifted round each trial by a random number of bins.

    Rates still tell the target, and no longer the time.
    """
    lag = np.random.default_rng(seed).integers(session.trial_lengths)
    lag, length, start = (
        np.repeat(values, session.trial_lengths)
        for values in (lag, session.trial_lengths, session.trial_starts)
    )
    return replace(session, rates=session.rates[start + (session.bin_in_trial + lag) % length])


def permute_neurons(session: Session, seed: int, *, within: str) -> Session:
    """Rates permuted across neurons, anew in each "bin" or in each "trial"; ``within`` says which.

    The summed rate of a bin stays; which neuron fired is lost.
    """
    if within not in ("bin", "trial"):
        raise ValueError(f'within must be "bin" or "trial"; got {within!r}')
    rng, (n_bins, n_neurons) = np.random.default_rng(seed), session.rates.shape
    order = rng.random((n_bins if within == "bin" else session.n_trials, n_neurons)).argsort(axis=1)
    if within == "trial":
        order = np.repeat(order, session.trial_lengths, axis=0)
    return replace(session, rates=np.take_along_axis(session.rates, order, axis=1))


def chance(directions: np.ndarray) -> float:
    """Accuracy of guessing the most frequent of some directions: one value a trial."""
    return float(np.unique(directions, return_counts=True)[1].max() / len(directions))


def score(train: Session, test: Session, embedded: Sequence[np.ndarray]) -> dict:
    """Scores of an embedding on held-out trials: those of the corrected protocol, and more.

    Parameters
    ----------
    train, test : Session, trials that decoders are fitted on, and trials that are scored
    embedded : arrays (T, d) and (U, d), the embedding of both

    Returns
    -------
    dict: the scores of `nerlib.metrics.score` in the corrected protocol, and

    - "onset_r2", "onset_correlation": the single-trial scores of trials aligned to movement onset
    - "endpoint", "endpoint_direct": mean distance (mm) from the hand's true position in the last bin of a
      trial, of decoded velocity that is summed, and of position that is decoded itself
    - "direct_r2": R² of position that is decoded itself
    """
    fitted = LinearDecoder().fit(embedded[0], train)
    velocity, direction = fitted.predict(embedded[1])
    found = metrics.score(velocity, direction, test, held_out=True, peak_bin=fitted.peak_bin_)["corrected"]
    rows, aligned = at_onset(test)
    if len(rows):
        onset = metrics.single_trial(velocity[rows], aligned)
        found |= {name.replace("single_trial", "onset"): value for name, value in onset.items()}
    true = metrics.position(test.velocity, test)
    direct = LinearRegression().fit(embedded[0], metrics.position(train.velocity, train)).predict(embedded[1])
    summed = metrics.position(velocity, test)
    return found | {
        "endpoint": endpoint_error(summed, true, test),
        "endpoint_direct": endpoint_error(direct, true, test),
        "direct_r2": float(r2_score(true, direct)),
    }


def score_run(run: Run) -> dict:
    """`score` of a run, with what the run is about."""
    halves = run.splits
    return run.about | score(halves["train"], halves["test"], [run.corrected[split] for split in halves])


def confusion(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Decoded directions of held-out trials, at the best bin of training trials, added over runs.

    Returns
    -------
    directions : array (K,), degrees, ascending
    counts : int array (K, K), true by decoded
    """
    pairs = []
    for run in runs:
        decoder = LinearDecoder().fit(run.corrected["train"], run.splits["train"])
        test = run.splits["test"]
        bins = test.trial_starts + np.minimum(decoder.peak_bin_, test.trial_lengths - 1)
        decoded = decoder.predict(run.corrected["test"]).direction
        pairs.append(np.column_stack([test.direction[bins], decoded[bins]]))
    directions, codes = np.unique(np.concatenate(pairs), return_inverse=True)
    true, decoded = codes.reshape(-1, 2).T
    counts = np.zeros((len(directions), len(directions)), int)
    np.add.at(counts, (true, decoded), 1)
    return directions, counts


def neighbour_share(directions: np.ndarray, counts: np.ndarray) -> float:
    """The share of wrong directions of `confusion` that lie next to the true one; NaN without any."""
    apart = np.abs(directions[:, None] - directions)
    apart = np.minimum(apart, 360 - apart)
    next_to = apart == np.min(apart + np.diag(np.full(len(apart), np.inf)), axis=1, keepdims=True)
    wrong = counts.sum() - np.trace(counts)
    return float(counts[next_to].sum() / wrong) if wrong else float("nan")


def wrong_directions(run: Run) -> dict:
    """The share of held-out trials with a wrong direction, and how many of these lie next to the true one."""
    directions, counts = confusion([run])
    wrong = 1 - float(np.trace(counts) / counts.sum())
    return run.about | {"wrong": wrong, "neighbour": neighbour_share(directions, counts)}


def endpoint_error(position: np.ndarray, true: np.ndarray, session: Session) -> float:
    """Mean distance (mm) between two positions (T, k) in the last bin of each trial."""
    last = session.trial_starts + session.trial_lengths - 1
    return float(np.linalg.norm(position[last] - true[last], axis=1).mean())


def at_onset(session: Session) -> tuple[np.ndarray, Session | None]:
    """Trials cut around the onset of their movement, the first bin above a fifth of the trial's peak speed.

    Returns
    -------
    rows : int array (bins,), which bins of the session; `BEFORE` bins before the onset and `AFTER` from it
        on, of trials that have them all
    Session of these bins; None where no trial has them
    """
    starts, lengths = session.trial_starts, session.trial_lengths
    speed = np.linalg.norm(session.velocity, axis=1)
    moving = speed >= ONSET * np.repeat(np.maximum.reduceat(speed, starts), lengths)
    onset = np.minimum.reduceat(np.where(moving, session.bin_in_trial, lengths.max()), starts)
    kept = (onset >= BEFORE) & (onset + AFTER <= lengths)
    rows = ((starts + onset)[kept, None] + np.arange(-BEFORE, AFTER)).ravel()
    if not len(rows):
        return rows, None
    fields = {name: getattr(session, name)[rows] for name in ("rates", "velocity", "direction", "trial")}
    return rows, replace(session, **fields)


def share_of_averages(session: Session) -> float:
    """The share of the variance of velocity that the averages of each direction and bin explain."""
    directions, averages = session.average_by_direction(session.velocity)
    bins = session.bin_in_trial
    kept = bins < averages.shape[1]
    predicted = averages[np.searchsorted(directions, session.direction[kept]), bins[kept]]
    return float(r2_score(session.velocity[kept], predicted))


def folds(session: Session) -> Iterator[tuple[Session, Session]]:
    """Training and test sessions of five contiguous folds in time order, of nearly as many trials each."""
    fold = np.arange(session.n_trials) * 5 // session.n_trials
    for k in range(5):
        yield session.select(fold != k), session.select(fold == k)


def leave_direction_out(
    session: Session, embed: Callable[[Session, Session], Sequence[np.ndarray]]
) -> dict[str, float]:
    """Decode held-out trials with models that have never seen a trial to their target.

    Parameters
    ----------
    session : Session with at least three directions
    embed : callable, (training Session, test Session) -> their embeddings (T, d) and (U, d); it is called
        once a direction, with training trials to the other targets and test trials to this one

    Returns
    -------
    dict: "velocity_r2" and "position_r2" over all test trials; "angle_error", the median angle (degrees)
    between the decoded and the true displacement at the end of a trial, 90 by chance
    """
    train, test = session.split()
    velocity = np.empty(test.velocity.shape)
    for direction in np.unique(test.direction):
        of_trial = [part.direction[part.trial_starts] == direction for part in (train, test)]
        others, own = train.select(~of_trial[0]), test.select(of_trial[1])
        embedding, held = embed(others, own)
        velocity[test.direction == direction] = (
            LinearRegression().fit(embedding, others.velocity).predict(held)
        )
    true, decoded = (metrics.position(v, test) for v in (test.velocity, velocity))
    last = test.trial_starts + test.trial_lengths - 1
    ends = [np.arctan2(*position[last, :2].T[::-1]) for position in (true, decoded)]
    turned = np.abs((ends[1] - ends[0] + np.pi) % (2 * np.pi) - np.pi)
    return {
        "velocity_r2": float(r2_score(test.velocity, velocity)),
        "position_r2": float(r2_score(true, decoded)),
        "angle_error": float(np.rad2deg(np.median(turned))),
    }


def halves(session: Session) -> tuple[Session, Session]:
    """Every other trial to each target, so that both halves hold all directions, early and late trials."""
    direction = session.direction[session.trial_starts]
    order = np.argsort(direction, kind="stable")
    rank = np.empty(len(order), int)  # of a trial among those of its direction
    first = np.searchsorted(direction[order], direction[order])
    rank[order] = np.arange(len(order)) - first
    return session.select(rank % 2 == 0), session.select(rank % 2 == 1)


def agreement(first: tuple[np.ndarray, Session], second: tuple[np.ndarray, Session]) -> float:
    """`nerlib.metrics.consistency` of the trial averages of two embeddings (T, d) and their sessions."""
    _, *averages = common_averages([first[0], second[0]], [first[1], second[1]])
    return metrics.consistency(*averages)


def align_cca(source: np.ndarray, target: np.ndarray, *sessions: Session) -> tuple[Callable, Callable]:
    """Maps of two embeddings into the space of their canonical variates, fitted to trial averages.

    So Gallego et al. (Nature Neuroscience 2020) and Safaie et al. (Nature 2023) align latent dynamics of days
    and animals. Unlike a rotation, both embeddings may be sheared and rescaled.

    Parameters
    ----------
    source, target : arrays (T, d) and (U, d), of training trials
    *sessions : Session with T bins and Session with U bins, with directions in common

    Returns
    -------
    two callables, (bins, d) -> (bins, d), for the source and for the target
    """
    _, *averages = common_averages([source, target], sessions)
    flat = [average.reshape(-1, average.shape[-1]) for average in averages]
    means = [x.mean(axis=0) for x in flat]
    (q, r), (p, s) = (np.linalg.qr(x - mean) for x, mean in zip(flat, means, strict=True))
    u, _, v = np.linalg.svd(q.T @ p)
    scale = np.sqrt(len(flat[0]))  # variates of variance 1
    maps = [np.linalg.solve(r, u) * scale, np.linalg.solve(s, v.T) * scale]
    there, here = (partial(_project, mean=m, matrix=a) for m, a in zip(means, maps, strict=True))
    return there, here


def _project(values, mean, matrix):
    return (values - mean) @ matrix
