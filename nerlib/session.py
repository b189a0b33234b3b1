"""One recording of reaches: rates, movements and the split into train and test trials."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Session:
    """Binned rates and movements of one brain area in one recording, trial after trial.

    Parameters
    ----------
    rates : array (T, N), smoothed spike counts per bin (spikes/bin)
    velocity : array (T, 2), hand velocity x, y (mm/s)
    direction : array (T,), target direction (degrees, 0 <= direction < 360), one per trial
    trial : int array (T,), which trial a bin belongs to; the bins of a trial stand together
    bin_width : float, seconds
    name, area, monkey, date : str, e.g. "Chewie_20161007", "M1", "Chewie", "20161007"
    simulated : bool, True for everything that the simulator made

    Raises
    ------
    ValueError : when shapes disagree, a value is not finite, the bins of a trial are scattered,
        or a direction changes within a trial. The message says where.

    Source: SCIENCE, preprocessing (section 3.1 and appendix of the NER paper).
    """

    rates: np.ndarray
    velocity: np.ndarray
    direction: np.ndarray
    trial: np.ndarray
    bin_width: float = 0.03
    name: str = "session"
    area: str = ""
    monkey: str = ""
    date: str = ""
    simulated: bool = False

    def __post_init__(self):
        for field in ("rates", "velocity", "direction"):
            values = np.asarray(getattr(self, field))
            if values.dtype not in (np.float32, np.float64):
                values = self._as_float(field, values)
            object.__setattr__(self, field, values)
        object.__setattr__(self, "trial", np.asarray(self.trial))
        self._check_shapes()
        self._check_finite()
        self._check_trials()

    def _as_float(self, field, values):
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.name}: {field} must hold numbers, got dtype {values.dtype}") from error

    def _check_shapes(self):
        if self.rates.ndim != 2 or 0 in self.rates.shape:
            raise ValueError(
                f"{self.name}: rates must be (bins, neurons), neither of them 0; got {self.rates.shape}"
            )
        n_bins = len(self.rates)
        for field, shape in (("velocity", (n_bins, 2)), ("direction", (n_bins,)), ("trial", (n_bins,))):
            found = getattr(self, field).shape
            if found != shape:
                raise ValueError(
                    f"{self.name}: rates have {n_bins} bins, so {field} must be {shape}; got {found}"
                )
        if not self.bin_width > 0:
            raise ValueError(f"{self.name}: bin_width must be positive seconds, got {self.bin_width}")

    def _check_finite(self):
        for field in ("rates", "velocity", "direction"):
            bad = ~np.isfinite(getattr(self, field))
            if bad.any():
                raise ValueError(
                    f"{self.name}: {field} has {bad.sum()} NaN or infinite values, first at index "
                    f"{tuple(int(i) for i in np.argwhere(bad)[0])}; drop or mend those trials first"
                )
        if self.direction.min() < 0 or self.direction.max() >= 360:
            raise ValueError(
                f"{self.name}: direction must be in [0, 360) degrees, got "
                f"{self.direction.min():g} to {self.direction.max():g}; take it modulo 360"
            )

    def _check_trials(self):
        if not np.issubdtype(self.trial.dtype, np.integer):
            raise ValueError(f"{self.name}: trial must hold integers, got dtype {self.trial.dtype}")
        starts = self.trial_starts
        if len(np.unique(self.trial)) != len(starts):
            raise ValueError(
                f"{self.name}: the bins of each trial must stand together, some trials are scattered"
            )
        if (self.direction != np.repeat(self.direction[starts], self.trial_lengths)).any():
            raise ValueError(
                f"{self.name}: direction changes within a trial; it must be the trial's target direction"
            )

    def __repr__(self):
        mark = ", SIMULATED" if self.simulated else ""
        return (
            f"Session({self.name}, {self.area}, {self.n_trials} trials, {len(self.rates)} bins of "
            f"{1000 * self.bin_width:g} ms, {self.rates.shape[1]} neurons{mark})"
        )

    @property
    def labels(self):
        """Array (T, 3): velocity x, y (mm/s) and direction (degrees), the labels of NER (section 3)."""
        return np.column_stack([self.velocity, self.direction])

    @cached_property
    def trial_starts(self):
        """Int array (n_trials,): the first bin of each trial."""
        return np.flatnonzero(np.r_[True, self.trial[1:] != self.trial[:-1]])

    @cached_property
    def trial_lengths(self):
        """Int array (n_trials,): the number of bins of each trial."""
        return np.diff(np.r_[self.trial_starts, len(self.trial)])

    @property
    def n_trials(self):
        return len(self.trial_starts)

    @cached_property
    def bin_in_trial(self):
        """Int array (T,): the bin's place within its trial, from 0."""
        return np.arange(len(self.trial)) - np.repeat(self.trial_starts, self.trial_lengths)

    @cached_property
    def digest(self):
        """Sha256 of all that a result can depend on, as hexadecimal text."""
        digest = hashlib.sha256()
        for values in (self.rates, self.velocity, self.direction, self.trial):
            digest.update(f"{values.dtype}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
        digest.update(
            repr((self.bin_width, self.name, self.area, self.monkey, self.date, self.simulated)).encode()
        )
        return digest.hexdigest()

    def select(self, trials):
        """The session cut down to some trials.

        Parameters
        ----------
        trials : array of int or slice, positions among the session's trials (0 … n_trials − 1)
        """
        kept = np.zeros(self.n_trials, bool)
        kept[trials] = True
        bins = np.repeat(kept, self.trial_lengths)
        arrays = {f: getattr(self, f)[bins] for f in ("rates", "velocity", "direction", "trial")}
        return replace(self, **arrays)

    def split(self, train=0.8):
        """Cut by trial, in time order, into a training and a test session (SCIENCE, preprocessing 5).

        Parameters
        ----------
        train : float in (0, 1), the share of trials to train on; rounded down to whole trials

        Returns
        -------
        (Session, Session) : the first ``train`` of the trials, and the rest

        Raises
        ------
        ValueError : when either part would be empty, as with fewer than two trials
        """
        if not 0 < train < 1:
            raise ValueError(f"train must lie strictly between 0 and 1, got {train}")
        cut = int(self.n_trials * train + 1e-9)
        if not 0 < cut < self.n_trials:
            raise ValueError(
                f"{self.name}: {self.n_trials} trials cannot be split {train:g} : {1 - train:g}; "
                "each part needs at least one trial"
            )
        return self.select(slice(None, cut)), self.select(slice(cut, None))

    def shuffle_movements(self, seed):
        """The control for chance: trials keep their rates, and movements are dealt out anew among trials.

        Trials are cut to the length of the shortest one, so that any movement fits any trial.

        Parameters
        ----------
        seed : int
        """
        order = np.random.default_rng(seed).permutation(self.n_trials)
        bins = np.arange(self.trial_lengths.min())
        own, other = (
            (starts[:, None] + bins).ravel() for starts in (self.trial_starts, self.trial_starts[order])
        )
        moved = {"velocity": self.velocity[other], "direction": self.direction[other]}
        return replace(self, rates=self.rates[own], trial=self.trial[own], **moved)

    def average_by_direction(self, values):
        """Average over the trials of each direction, bin by bin, as in the trial averages of Figure 2.

        Parameters
        ----------
        values : array (T, d), e.g. an embedding or velocity

        Returns
        -------
        directions : array (K,), degrees, ascending
        averages : array (K, bins, d); bins of the shortest trial, so that every trial counts in each bin
        """
        n_bins = int(self.trial_lengths.min())
        directions, which = np.unique(self.direction[self.trial_starts], return_inverse=True)
        trials = np.asarray(values)[self.trial_starts[:, None] + np.arange(n_bins)]
        totals = np.zeros((len(directions), *trials.shape[1:]))
        np.add.at(totals, which, trials)
        return directions, totals / np.bincount(which)[:, None, None]
