"""Decoding bin by bin, from saved files, as a closed loop would."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LinearRegression

from companion.style import finish, grid, small_text
from nerlib import NER, metrics
from nerlib.plots import DECODED, TRUE, WIDTH
from nerlib.session import Session


def fit_decoder(model: NER, sessions: Sequence[Session]) -> LinearRegression:
    """Linear regression from the embedding of a model's sessions to velocity; each weighs the same."""
    embeddings = model.transform([s.rates for s in sessions], [s.trial for s in sessions])
    weights = np.concatenate([np.full(len(z), 1 / len(z)) for z in embeddings])
    velocity = np.concatenate([s.velocity for s in sessions])
    return LinearRegression().fit(np.concatenate(embeddings), velocity, sample_weight=weights)


class ClosedLoop:
    """Velocity bin by bin, from two saved files: the network's and the linear decoder's.

    Parameters
    ----------
    model, decoder : paths of `NER.save` and `save_decoder`
    session : int, the session whose neurons arrive
    """

    def __init__(self, model: Path, decoder: Path, session: int):
        network = NER.load(model, device="cpu")
        self._encoder, self._n_bins = network.encoders_[session], network.window
        self._weight, self._offset = (load_file(decoder)[name] for name in ("weight", "offset"))
        self._window: np.ndarray | None = None

    def start(self) -> None:
        """A new trial: forget the bins of the last one."""
        self._window = None

    def step(self, rates: np.ndarray) -> np.ndarray:
        """Velocity (2,), mm/s, from the rates (N,) of the bin that just ended.

        The point is that of `NER.transform`, without its checks and without the earlier bins of the window.
        """
        if self._window is None:  # the first bin stands in for the bins before it
            self._window = np.tile(rates, self._n_bins)
        else:  # the latest bin comes first
            self._window[len(rates) :] = self._window[: -len(rates)]
            self._window[: len(rates)] = rates
        (point,) = self._encoder.embed_few(self._window[None])
        return point @ self._weight + self._offset


def save_decoder(path: Path, decoder) -> None:
    """Write scikit-learn's LinearRegression to a safetensors file."""
    weight = np.ascontiguousarray(decoder.coef_.T)
    save_file({"weight": weight, "offset": np.ascontiguousarray(decoder.intercept_)}, path)


def replay(loop: ClosedLoop, session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Decode a session bin by bin; velocity (T, 2) and the seconds of each bin (T,)."""
    velocity, seconds = np.empty((len(session.trial), 2)), np.empty(len(session.trial))
    starts = set(session.trial_starts.tolist())
    rates = np.asarray(session.rates, np.float32)
    for t in range(len(rates)):
        if t in starts:
            loop.start()
        begun = time.perf_counter()
        velocity[t] = loop.step(rates[t])
        seconds[t] = time.perf_counter() - begun
    return velocity, seconds


@small_text
def hand_paths(velocity: np.ndarray, session: Session) -> Figure:
    """Decoded and true hand path of the first eight trials, one panel a trial; the bar is 50 mm long."""
    decoded, true = (metrics.position(v, session) for v in (velocity, session.velocity))
    drawn, axes = grid(8 if session.n_trials > 4 else 4, 4, size=(WIDTH / 4, 1.6), sharex=True, sharey=True)
    for k, panel in enumerate(axes.flat[: session.n_trials]):
        bins = slice(session.trial_starts[k], session.trial_starts[k] + session.trial_lengths[k])
        panel.plot(*true[bins].T, color=TRUE, linewidth=2, label="true")
        panel.plot(*decoded[bins].T, color=DECODED, linewidth=1.4, label="decoded")
        panel.set(aspect="equal", xticks=[], yticks=[], title=f"{session.direction[bins][0]:.0f}°")
    left, bottom = axes.flat[0].get_xlim()[0], axes.flat[0].get_ylim()[0]
    axes.flat[0].plot([left, left + 50], [bottom, bottom], color="0.3", linewidth=2)
    axes.flat[0].annotate("50 mm", (left, bottom), (0, 3), textcoords="offset points", fontsize=8)
    lines = panel.get_legend_handles_labels()
    drawn.legend(*lines, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return finish(drawn, [session], left=True, bottom=True)
