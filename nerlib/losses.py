"""The loss of NER, which makes distances between embeddings follow the rank of label distances, and CEBRA's.

Section 3 of the NER paper (Rank-N-Contrast, Zha et al., NeurIPS 2023, on movement labels): with similarities
s_ij = −‖z_i − z_j‖ / τ and label distances d_ij,

    L = −1/(n(n−1)) Σ_i Σ_{j≠i} log( exp s_ij / Σ_{k≠i, d_ik ≥ d_ij} exp s_ik ).

Evaluated directly this costs O(n³). With the columns of row i sorted by d_ik, every denominator is a
cumulative sum from the far end, so one sort and one pass per row are enough: O(n² log n).
"""

from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nerlib import _rank_loss_numba as kernel

Columns = Sequence[float | None] | None  # one entry per label column
_SAFE_RANGE = {torch.float32: 80.0, torch.float64: 300.0}  # exp(-range) must stay a normal number


def ner_loss(
    embedding: Tensor,
    labels: Tensor | np.ndarray,
    *,
    temperature: float = 1.0,
    periods: Columns = None,
    weights: Columns = None,
) -> Tensor:
    """NER's loss, the mean over the n(n − 1) ordered pairs: scalar tensor, differentiable in the embedding.

    Raises ValueError for shapes that disagree, fewer than two rows, or labels that are not finite.

    Parameters
    ----------
    embedding : float tensor (n, d), one point per row; any device, float32 or float64
    labels : tensor or array (n, k), e.g. velocity x, y (mm/s) and direction (degrees)
    temperature : float > 0, τ
    periods : k entries, None for a linear column, the period for a circular one; None: all linear. The paper:
        (None, None, 360), which is `Session.periods`
    weights : k floats >= 0, the factor of each column in the label distance; None: all 1
    """
    labels = torch.as_tensor(labels)
    labels = labels.to(_precision(embedding.device, labels.dtype)).to(embedding.device)
    if embedding.ndim != 2 or labels.ndim != 2 or len(embedding) != len(labels):
        shapes = f"{tuple(embedding.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"embedding must be (n, d) and labels (n, k) with the same n; got {shapes}")
    if not torch.isfinite(labels).all():
        raise ValueError("labels hold NaN or infinite values; drop those rows first")
    half = len(labels) // 2
    if torch.equal(labels[:half], labels[half:]):  # references and their positives: one sort serves both
        labels = labels[:half]
    return rank_loss(embedding, sort_labels(labels, periods, weights), temperature=temperature)


def infonce_loss(
    reference: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    temperature: float = 1.0,
    normalized: bool = False,
) -> Tensor:
    """CEBRA's loss: InfoNCE with cosine similarity (Schneider, Lee and Mathis, Nature 2023).

    L = −mean_i s(x_i, x_i⁺) + mean_i log Σ_j exp s(x_i, x_j⁻), with s the cosine divided by the temperature.

    References and positives are float tensors (B, d), one pair a row; all share the negatives (M, d).
    ``normalized`` tells that rows have unit length already, as an encoder's do. Raises ValueError for shapes
    that disagree, or a temperature that is not positive.
    """
    shapes = [tuple(x.shape) for x in (reference, positive, negative)]
    if shapes[0] != shapes[1] or len(shapes[2]) != 2 or shapes[2][1:] != shapes[0][1:]:
        raise ValueError(f"expected reference and positive (B, d) and negative (M, d); got {shapes}")
    _check_temperature(temperature)
    if not normalized:
        reference, positive, negative = normalize(reference), normalize(positive), normalize(negative)
    alignment = (reference * positive).sum(dim=1) / temperature
    uniformity = (reference @ negative.T / temperature).logsumexp(dim=1)
    return (uniformity - alignment).mean()


def label_distances(labels: Tensor, periods: Columns = None, weights: Columns = None) -> Tensor:
    """Distances (m, m) between labels (m, k); ``periods`` and ``weights`` as in `ner_loss`.

    ``d(a, b) = |Δvx| + |Δvy| + min(|Δθ|, 360 − |Δθ|)`` for the labels of the paper (section 3).
    """
    periods = check_per_column("periods", periods, labels.shape[1], None)
    weights = check_per_column("weights", weights, labels.shape[1], 1.0)
    if not labels.is_floating_point():
        labels = labels.to(_precision(labels.device, torch.float64))
    total = labels.new_zeros(len(labels), len(labels))
    for column, period, weight in zip(labels.T, periods, weights, strict=True):
        if period is not None:
            column = column.remainder(period)
        distance = (column[:, None] - column[None, :]).abs_()
        if period is not None:
            distance = torch.minimum(distance, period - distance)
        total += distance.mul_(weight)  # two roundings, as in the kernel: fused, some exact ties would break
    return total


class SortedLabels(NamedTuple):
    """Labels with their distances sorted: for each row the columns from near to far, and their distances."""

    order: np.ndarray  # int32 (m, m)
    sorted_distances: np.ndarray  # float (m, m)

    def distances(self) -> Tensor:
        """The distances in the original order of the labels, tensor (m, m)."""
        values = torch.from_numpy(self.sorted_distances)
        return torch.empty_like(values).scatter_(1, torch.from_numpy(self.order).long(), values)


def sort_labels(labels: Tensor, periods=None, weights=None, *, threads: int | None = None):
    """The part of the loss that depends on labels (m, k) alone; ``periods`` and ``weights`` as in `ner_loss`.

    Returns SortedLabels on the CPU, by so many threads (None: torch's number); elsewhere distances (m, m).
    """
    if labels.device.type != "cpu":
        return label_distances(labels, periods, weights)
    periods = check_per_column("periods", periods, labels.shape[1], None)
    weights = check_per_column("weights", weights, labels.shape[1], 1.0)
    threads = threads or torch.get_num_threads()
    return SortedLabels(*kernel.sorted_label_distances(labels.detach().numpy(), periods, weights, threads))


def rank_loss(embedding: Tensor, labels, *, temperature: float = 1.0, threads: int | None = None) -> Tensor:
    """NER's loss, as `ner_loss`, from labels whose distances are known already.

    ``labels`` are the distances between m labels, tensor (m, m), or the result of `sort_labels`. Row i of the
    embedding (n, d) carries label i mod m: in training, a reference and its positive share one. ``threads``
    are those to use on the CPU, None for torch's number. Raises ValueError unless n >= 2 is a multiple of m.
    """
    is_sorted = isinstance(labels, SortedLabels)
    n, m = len(embedding), len(labels.sorted_distances if is_sorted else labels)
    if n < 2 or m == 0 or n % m:
        raise ValueError(f"{n} rows of the embedding cannot carry {m} labels; need n >= 2, a multiple of m")
    _check_temperature(temperature)
    if embedding.device.type == "cpu" and _exp_is_safe(embedding.detach(), temperature):
        if is_sorted or not labels.diagonal().any():  # for the kernel, no label is nearer than itself
            labels = labels if is_sorted else SortedLabels(*kernel.sort_rows(labels.detach().numpy()))
            return _CompiledRankLoss.apply(embedding, labels, temperature, threads or torch.get_num_threads())
    return _rank_loss_torch(embedding, labels.distances() if is_sorted else labels, temperature)


def _exp_is_safe(embedding, temperature):
    """Whether exp(s) stays within the normal numbers, so that plain sums of it are accurate."""
    extent = torch.linalg.vector_norm(embedding.amax(0) - embedding.amin(0)).item()
    return extent / temperature <= _SAFE_RANGE.get(embedding.dtype, -1.0)


def _check_temperature(temperature):
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")


def _precision(device, wanted):
    """The wanted float type, or float32 where the device has no float64 (Apple's MPS)."""
    return torch.float32 if torch.device(device).type == "mps" else wanted


def _rank_loss_torch(embedding, distances, temperature):
    """The loss by autograd, for any device; in float64 if it can: long sums lose float32's last digits."""
    copies = len(embedding) // len(distances)
    points = embedding.to(_precision(embedding.device, torch.float64))
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    similarity = _without_diagonal(-distance / temperature)
    distances, order = _without_diagonal(distances.repeat(copies, copies)).sort(dim=1)
    similarity = similarity.gather(1, order)
    log_tail = similarity.flip(1).logcumsumexp(1).flip(1)  # log Σ over this column and all farther ones
    tie = torch.searchsorted(distances, distances)  # the first column at the same distance as this one
    return (log_tail.gather(1, tie) - similarity).mean().to(embedding.dtype)


def _without_diagonal(square):
    n = len(square)
    return square.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)


class _CompiledRankLoss(torch.autograd.Function):
    """The loss and its gradient in one compiled pass over blocks of rows; see `_rank_loss_numba`."""

    @staticmethod
    def forward(ctx, embedding, labels, temperature, threads):
        points = np.ascontiguousarray(embedding.detach().numpy())
        loss, gradient = kernel.loss_and_gradient(points, *labels, float(temperature), threads)
        ctx.gradient = torch.from_numpy(gradient)
        return embedding.new_tensor(loss)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        return upstream * ctx.gradient, None, None, None


def check_per_column(name, values, n_columns, default):
    """One value per label column, or a ValueError that names the parameter and both numbers."""
    if values is None:
        return (default,) * n_columns
    if np.ndim(values) != 1 or len(values) != n_columns:
        raise ValueError(
            f"{name} has {np.size(values)} entries but the labels have {n_columns} columns; "
            f"give a sequence of one entry per column, or None; got {values!r}"
        )
    low, range_ = (0, "not negative") if name == "weights" else (np.finfo(float).tiny, "positive")
    given = [v for v in values if not (v is None and default is None)]
    if not all(isinstance(v, Real) and np.isfinite(v) and v >= low for v in given):
        raise ValueError(f"{name} must be finite and {range_}, got {values}")
    return tuple(values)
