"""One recording: rates, movements and the split into training and test trials."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


def trial_bounds(trial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first bin and the number of bins of each trial, int arrays (n_trials,), of trial ids (T,)."""
    starts = np.flatnonzero(np.r_[True, trial[1:] != trial[:-1]])
    return starts, np.diff(np.r_[starts, len(trial)])


@dataclass(frozen=True, eq=False)
class Session:
    """Binned rates and movements of one brain area in one recording, trial after trial.

    Arrays are copied and read-only, so that what was checked stays true. Source: section 3.1 and appendix of
    the NER paper; Methods page of the book, *Preprocessing*. Raises ValueError where shapes disagree, a value
    is not finite, the bins of a trial are not contiguous, or a direction changes within a trial.

    Parameters
    ----------
    rates : array (T, N), spike counts per bin, usually smoothed (spikes/bin)
    velocity : array (T, k), velocity of the hand or of anything else (mm/s); two columns x, y in the paper
    direction : array (T,) or None, target direction (degrees, 0 <= direction < 360), one value per trial;
        None for tasks without targets
    trial : int array (T,) or None, trial of each bin; the bins of a trial are contiguous. None: one trial
    bin_width : float, seconds
    name, area, monkey, date : str, e.g. "Chewie_20161007", "M1", "Chewie", "20161007"
    simulated : bool, True for simulated data
    """

    rates: np.ndarray
    velocity: np.ndarray
    direction: np.ndarray | None = None
    trial: np.ndarray | None = None
    bin_width: float = 0.03
    name: str = "session"
    area: str = ""
    monkey: str = ""
    date: str = ""
    simulated: bool = False

    def __post_init__(self):
        if self.trial is None:
            object.__setattr__(self, "trial", np.zeros(len(self.rates), int))
        for field in self._arrays:
            values = np.array(getattr(self, field))
            if field != "trial" and values.dtype not in (np.float32, np.float64):
                if values.dtype.kind not in "biuf":
                    raise ValueError(f"{self.name}: {field} must hold numbers, got dtype {values.dtype}")
                values = values.astype(np.float64)
            values.flags.writeable = False
            object.__setattr__(self, field, values)
        for problem in self._problems():
            raise ValueError(f"{self.name}: {problem}")

    def __setstate__(self, state):  # pickle and copy would make the arrays writable again
        vars(self).update(state)
        for field in self._arrays:
            getattr(self, field).flags.writeable = False

    @property
    def _arrays(self):
        fields = ("rates", "velocity", "direction", "trial")
        return [field for field in fields if getattr(self, field) is not None]

    def _problems(self):
        """What is wrong with the arrays; each check may rely on those before it."""
        if self.rates.ndim != 2 or 0 in self.rates.shape:
            yield f"rates must be (bins, neurons), neither of them 0; got {self.rates.shape}"
        n_bins = len(self.rates)
        for field in self._arrays[1:]:
            found, two = getattr(self, field).shape, field == "velocity"
            if found[:1] != (n_bins,) or len(found) != 1 + two or 0 in found:
                wanted = f"({n_bins}, k) with k >= 1" if two else f"({n_bins},)"
                yield f"rates have {n_bins} bins, so {field} must be {wanted}; got {found}"
        if not 0 < self.bin_width < 5:
            yield f"bin_width must be positive seconds, less than 5, got {self.bin_width}"
        for field in self._arrays[:-1]:
            bad = ~np.isfinite(getattr(self, field))
            if bad.any():
                first = tuple(np.argwhere(bad)[0].tolist())
                found = f"{field} has {bad.sum()} NaN or infinite values, first at index {first}"
                yield f"{found}; drop or fix those trials first"
        direction = self.direction
        if direction is not None and (direction.min() < 0 or direction.max() >= 360):
            found = f"{direction.min():g} to {direction.max():g}"
            yield f"direction must be in [0, 360) degrees, got {found}; take it modulo 360"
        if not np.issubdtype(self.trial.dtype, np.integer):
            yield f"trial must hold integers, got dtype {self.trial.dtype}"
        if len(np.unique(self.trial)) != self.n_trials:
            yield "the bins of each trial must be contiguous, some trials are scattered"
        if direction is not None and np.diff(direction)[np.diff(self.trial) == 0].any():
            hint = "" if self.n_trials > 1 else "; all bins are one trial, trial= says which a bin belongs to"
            yield f"direction changes within a trial; it must be the trial's target direction{hint}"

    def __repr__(self):
        bins = f"{self.n_trials} trials, {len(self.rates)} bins of {1000 * self.bin_width:g} ms"
        neurons = f"{self.rates.shape[1]} neurons" + ", SIMULATED" * self.simulated
        return f"Session({self.name}, {self.area}, {bins}, {neurons})"

    @property
    def labels(self) -> np.ndarray:
        """Array (T, k + 1): velocity (mm/s) and direction (degrees); without direction, velocity alone."""
        return np.column_stack([getattr(self, field) for field in self._arrays[1:-1]])

    @property
    def periods(self) -> tuple[float | None, ...]:
        """The period of each label column: None for velocity, which is linear, 360 for direction."""
        return (None,) * self.velocity.shape[1] + (() if self.direction is None else (360.0,))

    @cached_property
    def trial_starts(self) -> np.ndarray:
        """Int array (n_trials,): the first bin of each trial."""
        return trial_bounds(self.trial)[0]

    @cached_property
    def trial_lengths(self) -> np.ndarray:
        """Int array (n_trials,): the number of bins of each trial."""
        return trial_bounds(self.trial)[1]

    @property
    def n_trials(self) -> int:
        return len(self.trial_starts)

    @cached_property
    def bin_in_trial(self) -> np.ndarray:
        """Int array (T,): the position of each bin within its trial, from 0."""
        return np.arange(len(self.trial)) - np.repeat(self.trial_starts, self.trial_lengths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that a result can depend on, as hexadecimal text."""
        digest = hashlib.sha256()
        for field in self._arrays:
            values = getattr(self, field)
            digest.update(f"{values.dtype}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
        about = (self.bin_width, self.name, self.area, self.monkey, self.date, self.simulated)
        plain = tuple(np.asarray(value).item() for value in about)  # np.float64(0.03) as 0.03
        digest.update(repr(plain).encode())
        return digest.hexdigest()

    def select(self, trials: np.ndarray | list | slice) -> "Session":
        """The session restricted to some trials, given as positions 0 … n_trials − 1, a mask or a slice."""
        kept = np.zeros(self.n_trials, bool)
        kept[trials] = True
        bins = np.repeat(kept, self.trial_lengths)
        return replace(self, **{field: getattr(self, field)[bins] for field in self._arrays})

    def split(self, train: float = 0.8) -> tuple["Session", "Session"]:
        """Split by trial, in time order, into a training and a test session (Methods page, *Preprocessing*).

        ``train``, strictly between 0 and 1, is the share of training trials, rounded down to whole trials.
        Raises ValueError when either part would be empty, as with fewer than two trials.
        """
        if not 0 < train < 1:
            raise ValueError(f"train must lie strictly between 0 and 1, got {train}")
        cut = int(self.n_trials * train + 1e-9)
        if not 0 < cut < self.n_trials:
            found = f"{self.name}: {self.n_trials} trials cannot be split {train:g} : {1 - train:g}"
            need = "each part needs at least one trial (trial= says which trial a bin belongs to)"
            raise ValueError(f"{found}; {need}")
        return self.select(slice(None, cut)), self.select(slice(cut, None))

    def permute_movements(self, seed: int) -> "Session":
        """A control for chance: trials keep their rates; movements are permuted across trials.

        Trials are cut to the length of the shortest one, so that any movement fits any trial.
        """
        order = np.random.default_rng(seed).permutation(self.n_trials)
        bins = self.trial_starts[:, None] + np.arange(self.trial_lengths.min())
        own, other = bins.ravel(), bins[order].ravel()
        moved = {field: getattr(self, field)[other] for field in self._arrays[1:-1]}
        return replace(self, rates=self.rates[own], trial=self.trial[own], **moved)

    def average_by_direction(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Directions (K,), degrees, ascending, and the average of ``values`` (T, d) over the trials of each.

        Averages are an array (K, bins, d), bin by bin, as in Figure 2 of the paper; the bins are those of the
        shortest trial, so that every trial counts in each. ValueError for a session without directions.
        """
        if self.direction is None:
            raise ValueError(f"{self.name} has no directions to average over; give Session direction=")
        n_bins = int(self.trial_lengths.min())
        trials = np.asarray(values)[self.trial_starts[:, None] + np.arange(n_bins)]
        target = self.direction[self.trial_starts]
        directions = np.unique(target)
        return directions, np.stack([trials[target == d].mean(axis=0, dtype=np.float64) for d in directions])
