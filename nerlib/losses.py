"""The loss of NER, by which distances between embeddings follow the rank of distances between labels; and
that of CEBRA.

Equation (section 3 of the NER paper; Rank-N-Contrast, Zha et al., NeurIPS 2023): with similarities
s_ij = −‖z_i − z_j‖ / τ and label distances d_ij,

    L = −1/(n(n−1)) Σ_i Σ_{j≠i} log( exp s_ij / Σ_{k≠i, d_ik ≥ d_ij} exp s_ik ).

Read as it stands this costs O(n³). Once the columns of row i are in the order of d_ik, every denominator
is a cumulative sum from the far end, so that one sort and one sweep a row are enough: O(n² log n).
"""

from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

_SAFE_RANGE = {torch.float32: 80.0, torch.float64: 300.0}  # exp(-range) must stay a normal number


def ner_loss(embedding, labels, *, temperature=1.0, periods=(None, None, 360.0), weights=None):
    """NER's loss, differentiable in the embedding.

    Parameters
    ----------
    embedding : float tensor (n, d), one point a row; any device, float32 or float64
    labels : tensor or array (n, k), of the same rows, e.g. velocity x, y (mm/s) and direction (degrees)
    temperature : float > 0, τ
    periods : k entries, None for a linear column, the period for a circular one; None: all linear
    weights : k floats >= 0, the factor of each column in the label distance; None: all 1

    Returns
    -------
    scalar tensor, mean over the n(n − 1) ordered pairs

    Raises
    ------
    ValueError : shapes that disagree, fewer than two rows, labels that are not finite
    """
    labels = torch.as_tensor(labels, device=embedding.device)
    if embedding.ndim != 2 or labels.ndim != 2 or len(embedding) != len(labels):
        raise ValueError(
            "embedding must be (n, d) and labels (n, k) with the same n; "
            f"got {tuple(embedding.shape)} and {tuple(labels.shape)}"
        )
    if not torch.isfinite(labels).all():
        raise ValueError("labels hold NaN or infinite values; drop those rows first")
    half = len(labels) // 2
    if torch.equal(labels[:half], labels[half:]):  # references and their positives: one sort serves both
        labels = labels[:half]
    return rank_loss(embedding, order_labels(labels, periods, weights), temperature=temperature)


def infonce_loss(reference, positive, negative, *, temperature=1.0):
    """CEBRA's loss: InfoNCE with cosine similarity (Schneider, Lee, Mathis, Nature 2023; SCIENCE, section 4).

    L = −mean_i s(x_i, x_i⁺) + mean_i log Σ_j exp s(x_i, x_j⁻), s the cosine over the temperature.

    Parameters
    ----------
    reference, positive : float tensors (B, d), pairs
    negative : float tensor (M, d), all of them negatives of every reference
    temperature : float > 0, τ

    Returns
    -------
    scalar tensor

    Raises
    ------
    ValueError : shapes that disagree, or a temperature that is not positive
    """
    shapes = [tuple(x.shape) for x in (reference, positive, negative)]
    if shapes[0] != shapes[1] or len(shapes[2]) != 2 or shapes[2][1:] != shapes[0][1:]:
        raise ValueError(f"expected reference and positive (B, d) and negative (M, d); got {shapes}")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    reference, positive, negative = (normalize(x) for x in (reference, positive, negative))
    alignment = (reference * positive).sum(dim=1) / temperature
    uniformity = (reference @ negative.T / temperature).logsumexp(dim=1)
    return (uniformity - alignment).mean()


def label_distances(labels, periods=(None, None, 360.0), weights=None):
    """Distance between labels: |Δ| summed over columns, the short way round on circular ones.

    d(a, b) = |Δvx| + |Δvy| + min(|Δθ|, 360 − |Δθ|) for the labels of the paper (section 3).

    Parameters
    ----------
    labels : tensor (m, k)
    periods, weights : as in `ner_loss`

    Returns
    -------
    tensor (m, m), floating
    """
    n_columns = labels.shape[1]
    periods = check_per_column("periods", periods, n_columns, None)
    weights = check_per_column("weights", weights, n_columns, 1.0)
    if not labels.is_floating_point():
        labels = labels.double()
    total = labels.new_zeros(len(labels), len(labels))
    for column, period, weight in zip(labels.T, periods, weights, strict=True):
        if period is not None:
            column = column.remainder(period)
        apart = (column[:, None] - column[None, :]).abs_()
        if period is not None:
            apart = torch.minimum(apart, period - apart)
        total += apart.mul_(weight)  # two roundings, as in the sweep: fused, some exact ties would part
    return total


class Columns(NamedTuple):
    """Labels of which the distances are sorted: for each row the columns from near to far, and how far."""

    order: np.ndarray  # int32 (m, m)
    keys: np.ndarray  # float (m, m)

    def distances(self):
        """The distances, tensor (m, m), in the order of the labels."""
        distances = np.empty_like(self.keys)
        np.put_along_axis(distances, self.order.astype(np.int64), self.keys, axis=1)
        return torch.from_numpy(distances)


def order_labels(labels, periods=(None, None, 360.0), weights=None, *, threads=None):
    """What `rank_loss` needs to know of the labels; it does not depend on the embedding.

    Parameters
    ----------
    labels : tensor (m, k)
    periods, weights : as in `ner_loss`
    threads : int or None for torch's number; how many to use on the CPU

    Returns
    -------
    Columns on the CPU, where distances are taken and sorted in one pass; elsewhere distances, tensor (m, m)
    """
    if labels.device.type != "cpu":
        return label_distances(labels, periods, weights)
    from nerlib._sweep import label_columns

    n_columns = labels.shape[1]
    periods = check_per_column("periods", periods, n_columns, None)
    weights = check_per_column("weights", weights, n_columns, 1.0)
    threads = threads or torch.get_num_threads()
    return Columns(*label_columns(labels.detach().numpy(), periods, weights, threads))


def rank_loss(embedding, labels, *, temperature=1.0, threads=None):
    """NER's loss from labels whose distances are known already.

    Parameters
    ----------
    embedding : float tensor (n, d)
    labels : distances between m labels, tensor (m, m), or what `order_labels` makes of them. n is a multiple
        of m: row i of the embedding carries label i mod m. In training each label stands twice, with its
        reference and with its positive.
    temperature : float > 0, τ
    threads : int or None for torch's number; how many to use on the CPU

    Returns
    -------
    scalar tensor
    """
    is_sorted = isinstance(labels, Columns)
    n, m = len(embedding), len(labels.keys if is_sorted else labels)
    if n < 2 or m == 0 or n % m:
        raise ValueError(f"{n} rows of the embedding cannot carry {m} labels; need n >= 2, a multiple of m")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if embedding.device.type == "cpu" and _is_narrow(embedding, temperature):
        from nerlib._sweep import sort_columns

        if is_sorted or not labels.diagonal().any():  # the sweep relies on it: no label is nearer than itself
            columns = labels if is_sorted else sort_columns(labels.detach().numpy())
            return _SweptRankLoss.apply(embedding, columns, temperature, threads or torch.get_num_threads())
    return _sorted_rank_loss(embedding, labels.distances() if is_sorted else labels, temperature)


def _is_narrow(embedding, temperature):
    """Whether exp(s) cannot leave the normal numbers, so that plain sums of it are exact enough."""
    if embedding.dtype not in _SAFE_RANGE:
        return False
    with torch.no_grad():
        extent = torch.linalg.vector_norm(embedding.amax(0) - embedding.amin(0)).item()
    return extent / temperature <= _SAFE_RANGE[embedding.dtype]


def _sorted_rank_loss(embedding, distances, temperature):
    """The loss in a few tensor operations, for any device; autograd takes the gradient.

    In float64 within: sums over thousands of columns, one from the next, would lose float32's last digit.
    """
    copies = len(embedding) // len(distances)
    points = embedding.double()
    apart = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    similarity = _without_diagonal(-apart / temperature)
    distances, order = _without_diagonal(distances.repeat(copies, copies)).sort(dim=1)
    similarity = similarity.gather(1, order)
    log_tail = similarity.flip(1).logcumsumexp(1).flip(1)  # log Σ over this column and all farther ones
    tie = torch.searchsorted(distances, distances)  # the first column as far away as this one
    return (log_tail.gather(1, tie) - similarity).mean().to(embedding.dtype)


def _without_diagonal(square):
    n = len(square)
    return square.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


class _SweptRankLoss(torch.autograd.Function):
    """The loss and its gradient in one compiled pass over blocks of rows; see `_sweep`."""

    @staticmethod
    def forward(ctx, embedding, columns, temperature, threads):
        from nerlib._sweep import rank_sweep

        points = np.ascontiguousarray(embedding.detach().numpy())
        loss, gradient = rank_sweep(points, *columns, float(temperature), threads)
        ctx.gradient = torch.from_numpy(gradient)
        return embedding.new_tensor(loss)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        return upstream * ctx.gradient, None, None, None


def check_per_column(name, values, n_columns, default):
    """One value a label column, or a ValueError that names the parameter and both numbers."""
    if values is None:
        return (default,) * n_columns
    if np.ndim(values) != 1:
        raise ValueError(
            f"{name} must hold one entry a label column ({n_columns}), or be None; got {values!r}"
        )
    if len(values) != n_columns:
        raise ValueError(
            f"{name} has {len(values)} entries but the labels have {n_columns} columns; "
            f"give {name} one entry a column, or None"
        )
    low = 0 if name == "weights" else np.finfo(float).tiny
    given = [v for v in values if not (v is None and default is None)]
    if not all(isinstance(v, Real) and np.isfinite(v) and v >= low for v in given):
        raise ValueError(
            f"{name} must be finite and {'not negative' if low == 0 else 'positive'}, got {values}"
        )
    return tuple(values)
