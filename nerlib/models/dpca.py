"""Demixed PCA: linear components of direction, of time and of their interaction, separated."""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.utils import check_random_state

from nerlib.models._common import Method, check_numbers
from nerlib.sampling import stacked
from nerlib.session import trial_bounds

_STRENGTHS = np.logspace(-4, 1, 26)  # the λ tried; steps of 1.6, Kobak's are of 1.5
_REPEATS = 10  # held-out trials of each direction, one at a time; Kobak's number too


@dataclass(eq=False, repr=False)
class DPCA(Method):
    """Demixed principal component analysis (Kobak et al., eLife 2016), embedding by stimulus components.

    The trial averages X (neurons × directions·bins, centred) are the sum of marginalisations X_φ: stimulus
    (averages over time), time (averages over directions) and mixed (the rest). Each is restored from X by a
    reduced-rank ridge regression (Methods of Kobak et al.),

        min over F, D of ‖X_φ − F Dᵀ X‖² + μ ‖F Dᵀ‖²,  FᵀF = 1,  μ = (λ ‖X‖)²,

    solved in closed form: F holds the leading left singular vectors of A [X √μ I], and Dᵀ = Fᵀ A, where
    A = X_φ Xᵀ (X Xᵀ + μ I)⁻¹ is the ridge regression of full rank.

    Every direction enters with as many trials as the rarest has, drawn at random (Kobak et al. average all
    trials), and trials lose the bins beyond the shortest. Stimulus and mixed components stay separate, where
    the figures of Kobak et al. join them.

    Parameters
    ----------
    n_components : int, components of each marginalisation; the embedding holds those of the stimulus
    regularizer : "auto" or float >= 0, λ above (that of the `dPCA` package is λ / ‖X‖). "auto" takes the λ
        that best restores the marginalisations of the training averages from one held-out trial of each
        direction, over up to ten draws (see `held_out_error`)
    window : int, bins of history side by side, the current bin included (Kobak et al.: 1)
    random_state : int, RandomState or None; which trials are left out for equal numbers, and held out

    Attributes
    ----------
    decoders_, encoders_ : dict, "stimulus", "time" and "mixed" to arrays (window × N, n_components), D and F
    explained_variance_ : dict of arrays (n_components,), share of the variance of the trial averages that
        each component restores, ‖dᵀX‖² / ‖X‖²
    regularizer_ : float, λ
    mean_ : array (window × N,), mean of the trial averages (spikes/bin)
    directions_ : array (K,), degrees, ascending
    n_trials_, n_bins_, n_features_in_ : int, trials of each direction and bins of each trial used, neurons
    """

    _fitted = "decoders_"
    n_components: int = 3
    _: KW_ONLY
    regularizer: Any = "auto"
    window: int = 1
    random_state: Any = None

    def fit(self, X: Any, y: Any, trial: Any = None) -> Self:
        """Fit on rates (T, N), labels (T, k) or (T,) and trial ids (T,), which are required; returns self.

        The last label column is the direction, constant within a trial. Raises ValueError or TypeError for a
        bad parameter, NaN, lengths that disagree, no or scattered trials, a direction that changes within a
        trial or has one trial, too few directions or bins.
        """
        check_numbers(self, Integral, "n_components", "window")
        strength = self.regularizer
        number = isinstance(strength, Real) and not isinstance(strength, bool)
        if not number and not (isinstance(strength, str) and strength == "auto"):
            raise TypeError(f'regularizer must be "auto" or a number; got {strength!r}')
        if number and not 0 <= strength < float("inf"):
            raise ValueError(f"regularizer must be finite and not negative; got {strength!r}")
        X, labels, trial = self._check_data(X, y, trial, dtype=np.float64)
        rng = check_random_state(self.random_state)
        self.directions_, trials = _group_trials(stacked(X, trial, self.window), labels[:, -1], trial, rng)
        n_directions, self.n_trials_, self.n_bins_, _ = trials.shape
        if self.n_components >= min(n_directions, self.n_bins_):
            limits = f"the {n_directions} directions and the {self.n_bins_} bins of the shortest trial"
            raise ValueError(f"n_components={self.n_components} must be less than {limits}")
        self.regularizer_ = float(strength if number else self._pick_strength(trials))
        averages = trials.mean(axis=1)
        self.mean_ = averages.mean(axis=(0, 1))
        averages -= self.mean_
        fitted = _fit_averages(averages, np.array([self.regularizer_]), self.n_components)
        self.decoders_ = {name: decoders[0] for name, (decoders, _) in fitted.items()}
        self.encoders_ = {name: encoders[0] for name, (_, encoders) in fitted.items()}
        total, restored = (averages**2).sum(), {k: averages @ d for k, d in self.decoders_.items()}
        self.explained_variance_ = {k: (v**2).sum(axis=(0, 1)) / total for k, v in restored.items()}
        return self

    def transform(self, X: Any, trial: Any = None) -> np.ndarray:
        """Project rates (T, N) onto the stimulus components, bin by bin: float64 array (T, n_components)."""
        return (self._inputs(X, trial, np.float64) - self.mean_) @ self.decoders_["stimulus"]

    def _pick_strength(self, trials):
        """λ of the least held-out error; trials (K, trials, bins, N) are in random order."""
        errors = np.zeros(len(_STRENGTHS))
        total = trials.sum(axis=1)
        for held_out in trials[:, :_REPEATS].swapaxes(0, 1):
            averages = (total - held_out) / (self.n_trials_ - 1)
            mean = averages.mean(axis=(0, 1))
            errors += held_out_error(averages - mean, held_out - mean, _STRENGTHS, self.n_components)
        return _STRENGTHS[errors.argmin()]


def _group_trials(rates, direction, trial, rng):
    """Directions (K,) and trials (K, trials, bins, N): equal numbers, in random order, of equal length."""
    if trial is None:
        raise ValueError("dPCA averages over trials: give fit the trial of each bin, fit(X, y, trial)")
    starts, lengths = trial_bounds(trial)
    if len(np.unique(trial)) != len(starts):
        raise ValueError("the bins of each trial must be contiguous, some trials are scattered")
    changes = direction != np.repeat(direction[starts], lengths)
    if changes.any():
        where = f"within trial {trial[changes.argmax()]}"
        raise ValueError(f"the direction (last label column) changes {where}; it must be that of the target")
    directions, which, counts = np.unique(direction[starts], return_inverse=True, return_counts=True)
    if len(directions) < 2:
        raise ValueError(f"all trials have direction {directions[0]:g}; dPCA needs at least two directions")
    if counts.min() < 2:
        alone = f"direction {directions[counts.argmin()]:g} has a single trial"
        raise ValueError(f"{alone}; leave that direction out, or record at least two trials of it")
    picked = [rng.permutation(np.flatnonzero(which == k))[: counts.min()] for k in range(len(directions))]
    return directions, rates[starts[picked][..., None] + np.arange(lengths.min())]


def marginalise(averages):
    """Centred trial averages (K, bins, N) as a sum of orthogonal parts: a dict, stimulus, time and mixed."""
    stimulus = averages.mean(axis=1, keepdims=True)
    time = averages.mean(axis=0, keepdims=True)
    parts = {"stimulus": stimulus, "time": time, "mixed": averages - stimulus - time}
    return {name: np.broadcast_to(part, averages.shape) for name, part in parts.items()}


def _fit_averages(averages, strengths, n_components):
    """Decoders and encoders, (L, N, q) each, of every marginalisation, for L ridge strengths λ at once.

    Bins are rows here. With X = U diag(s) Vᵀ the ridge regression of full rank is
    V diag(s / (s² + μ)) Uᵀ X_φ, and the encoders are right singular vectors of diag(s / √(s² + μ)) Uᵀ X_φ.
    """
    rates = averages.reshape(-1, averages.shape[-1])
    left, scale, right = np.linalg.svd(rates, full_matrices=False)
    kept = scale > scale[0] * max(rates.shape) * np.finfo(scale.dtype).eps
    if kept.sum() < n_components:
        raise ValueError(f"n_components={n_components}, but the trial averages have rank {kept.sum()}")
    left, scale, right = left[:, kept], scale[kept, None], right[kept]
    ridge = np.sqrt(scale**2 + strengths[:, None, None] ** 2 * (scale**2).sum())  # (L, rank, 1)
    fitted = {}
    for name, part in marginalise(averages).items():
        target, weights = left.T @ part.reshape(rates.shape), scale / ridge
        # By the eigenvectors of the smaller square; with history, many times faster than singular vectors.
        square = weights * (target @ target.T) * weights.swapaxes(1, 2)
        leading = np.linalg.eigh(square)[1][:, :, : -n_components - 1 : -1]
        encoders = np.linalg.qr(target.T @ (weights * leading))[0]
        largest = np.abs(encoders).argmax(axis=1)[:, None]
        encoders = encoders * np.sign(np.take_along_axis(encoders, largest, axis=1))  # one sign for all runs
        fitted[name] = right.T @ (weights / ridge * (target @ encoders)), encoders
    return fitted


def held_out_error(averages, held_out, strengths, n_components):
    """Σ_φ ‖X_φ − F_φ D_φᵀ X_held-out‖² / ‖X‖² for each λ of (L,), the criterion of Kobak et al.: array (L,).

    ``averages`` (K, bins, N) are centred; ``held_out``, of that shape, is one other trial of each direction
    less the mean of the averages. The target is the averages: held-out noise would be restored from itself.
    """
    fitted, parts = _fit_averages(averages, strengths, n_components), marginalise(averages)
    errors = np.full(len(strengths), (averages**2).sum())
    rows = averages.shape[0] * averages.shape[1], averages.shape[2]
    for name, (decoders, encoders) in fitted.items():
        restored, target = held_out.reshape(rows) @ decoders, parts[name].reshape(rows) @ encoders
        errors += (restored**2 - 2 * restored * target).sum(axis=(1, 2))  # F is orthonormal
    return errors / (averages**2).sum()
