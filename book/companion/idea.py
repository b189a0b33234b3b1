"""Figures and scores of the first chapter: what the loss asks of distances, and what decoders make of it."""

from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.metrics import r2_score

from companion.style import finish, grid, small_text
from nerlib.losses import Columns, label_distances
from nerlib.plots import DECODED, TRUE, WIDTH, column_names, watermark_simulated
from nerlib.session import Session


def loss_curve(curve: np.ndarray, session: Session) -> Figure:
    """Loss over training steps: ``curve`` (steps,), e.g. ``loss_curve_`` of a method fitted to a session."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.4), layout="constrained")
    axes.plot(curve, color=DECODED, linewidth=0.8)
    axes.set(xlabel="training step", ylabel="loss")
    return finish(figure, [session])


def paired_distances(
    embedding: np.ndarray, labels: np.ndarray, *, n_rows: int = 2000, seed: int = 0, periods: Columns = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of each bin to all others: two arrays (rows, rows − 1), between labels and in the embedding.

    Parameters
    ----------
    embedding, labels : arrays (T, d) and (T, k)
    n_rows, seed : int, bins drawn without replacement when T is larger, and the seed of the draw
    periods : as in `losses.ner_loss`
    """
    rows = np.random.default_rng(seed).permutation(len(embedding))[:n_rows]
    others = ~np.eye(len(rows), dtype=bool)
    between_labels = label_distances(torch.as_tensor(labels[rows]), periods).numpy()
    embedded = cdist(embedding[rows], embedding[rows])
    return between_labels[others].reshape(len(rows), -1), embedded[others].reshape(len(rows), -1)


def rank_agreement(embedding: np.ndarray, labels: np.ndarray, **options) -> np.ndarray:
    """For each bin, Spearman's correlation of its distances to others between embedding and labels: (rows,).

    1 means that NER's aim (section 3) is met without exception, 0 is chance. Arguments of `paired_distances`.
    """
    ranks = [rankdata(distances, axis=1) for distances in paired_distances(embedding, labels, **options)]
    labels_, embedded = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    return (labels_ * embedded).sum(axis=1) / np.sqrt((labels_**2).sum(axis=1) * (embedded**2).sum(axis=1))


@small_text
def distances(pairs: dict, session: Session) -> Figure:
    """Distance in the embedding against distance between movements, one panel an embedding.

    ``pairs`` is a dict, title -> (label distances, embedding distances), two arrays of one shape.
    """
    figure, panels = grid(len(pairs), size=(WIDTH / 4, 2.3), sharex=True, sharey=True)
    for axes, (title, (labels, embedded)) in zip(panels[0], pairs.items(), strict=True):
        share = embedded.ravel() / embedded.max()
        axes.hexbin(labels.ravel(), share, gridsize=40, bins="log", cmap="Greys", linewidths=0.1)
        axes.set(title=title, xlabel="label distance d\n(mm/s + degrees)", ylim=(0, 1))
    panels[0, 0].set_ylabel("distance in the embedding\n(share of the largest)")
    return watermark_simulated(figure, [session])


def decoded_against_true(velocities: dict, session: Session) -> Figure:
    """Decoded against true velocity, all its columns together, one panel a method (Figure 1 of the paper).

    ``velocities`` is a dict, title -> decoded velocity (T, k), mm/s; ``session`` has T bins.
    """
    figure, panels = grid(len(velocities), size=(3.4, 3.4), sharey=True)
    reach = 1.05 * np.abs(session.velocity).max()
    for axes, (title, velocity) in zip(panels[0], velocities.items(), strict=True):
        colors = cycle([DECODED, "#2e86ab", "#edae49"])
        for true, read in zip(session.velocity.T, velocity.T, strict=True):
            axes.plot(true, read, ".", color=next(colors), markersize=2, alpha=0.4)
        axes.axline((0, 0), slope=1, color=TRUE, linewidth=0.8)
        axes.set(title=title, xlabel="true velocity (mm/s)", xlim=(-reach, reach), ylim=(-reach, reach))
    panels[0, 0].set_ylabel("decoded velocity (mm/s)")
    panels[0, 0].legend(column_names(session.velocity), frameon=False, fontsize=8, markerscale=4)
    return finish(figure, [session])


def r2_by_speed(velocity: np.ndarray, session: Session) -> dict[str, float]:
    """R² of decoded velocity (T, k) over all bins, over the slower half of them and over the faster half.

    Keys "all", "slow" and "fast" (Figure 1 of the paper). Slow bins vary little, so the same error in mm/s
    costs them far more R².
    """
    speed = np.linalg.norm(session.velocity, axis=1)
    fast = speed > np.median(speed)
    parts = {"all": slice(None), "slow": ~fast, "fast": fast}
    return {name: float(r2_score(session.velocity[part], velocity[part])) for name, part in parts.items()}
