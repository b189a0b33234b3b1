"""Controls that a score must fail, and questions that a reviewer would ask of one.

The first part breaks a session in a known way; the second scores an embedding beyond R²; the last leaves out
folds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.metrics import confusion_matrix, r2_score

from nerlib import metrics
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
    lengths = session.trial_lengths
    lag = np.random.default_rng(seed).integers(lengths)
    lag, length, start = (np.repeat(each, lengths) for each in (lag, lengths, session.trial_starts))
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

    Returns a dict: the scores of `nerlib.metrics.score` in the corrected protocol, and

    - "onset_r2", "onset_correlation": the single-trial scores of trials aligned to movement onset
    - "endpoint", "endpoint_direct": mean distance (mm) from the hand's true position in the last bin of a
      trial, of decoded velocity that is summed, and of position that is decoded itself
    - "direct_r2": R² of position that is decoded itself

    Parameters
    ----------
    train, test : Session, trials that decoders are fitted on, and trials that are scored
    embedded : arrays (T, d) and (U, d), the embedding of both
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

    Returns the directions, array (K,) in degrees, ascending, and counts, int array (K, K), true by decoded.
    """
    pairs = []
    for run in runs:
        decoder = LinearDecoder().fit(run.corrected["train"], run.splits["train"])
        test = run.splits["test"]
        bins = test.trial_starts + np.minimum(decoder.peak_bin_, test.trial_lengths - 1)
        decoded = decoder.predict(run.corrected["test"]).direction
        pairs.append(np.column_stack([test.direction[bins], decoded[bins]]))
    directions, codes = np.unique(np.concatenate(pairs), return_inverse=True)
    return directions, confusion_matrix(*codes.reshape(-1, 2).T)


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

    Returns an int array (bins,), which bins of the session: `BEFORE` bins before the onset and `AFTER` from
    it on, of trials that have them all; and the Session of these bins, None where no trial has them.
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
