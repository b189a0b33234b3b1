"""The compiled kernel under `losses.rank_loss` on the CPU: loss and gradient, row by row.

For row i, with e_k = exp(−r_ik / τ) and the columns sorted by label distance:
from far to near, Z grows by the e_k of each group of ties, the denominator of every j in it;
from near to far, A grows by count/Z of each group, which gives ∂L/∂s_ik ∝ e_k A − 1 (Methods page, *NER*).
Cumulative sums are float64 whatever the embedding's type. Blocks of rows are fixed and their gradients are
added in order, so the result does not depend on the number of threads.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numba
import numpy as np

_BLOCK = 128  # rows per task: its two (128, n) buffers fit the cache of a core
_LANES = 16  # rows processed side by side, so that their sequential sums fill vector registers


def loss_and_gradient(points, order, sorted_distances, temperature, threads):
    """Loss and gradient (n, d) of `losses.rank_loss` at points (n, d), float32 or float64.

    ``order`` and ``sorted_distances`` (m, m) are those of `sort_rows`, n a multiple of m.
    """
    n, d = points.shape
    coordinates = np.ascontiguousarray(points.T)
    starts = range(0, n, _BLOCK)
    gradients = np.zeros((len(starts), d, n), points.dtype)

    def block(task):
        start = starts[task]
        distance = np.empty((min(_BLOCK, n - start), n), points.dtype)
        exp_similarity = np.empty_like(distance)
        _distances(coordinates, start, distance)
        np.multiply(distance, points.dtype.type(-1 / temperature), out=exp_similarity)
        np.exp(exp_similarity, out=exp_similarity)
        # Logarithms are slow: take one of a product of as many factors as can neither overflow nor underflow.
        factors = max(1, int(300 / math.log10(max(n, 1 / exp_similarity.min()))))
        rows = coordinates, start, distance, exp_similarity, order, sorted_distances
        return _process_rows(*rows, temperature, factors, gradients[task])

    loss = math.fsum(_map(block, range(len(starts)), threads))
    pairs = n * (n - 1)
    gradient = gradients.sum(axis=0, dtype=np.float64).T / (pairs * temperature)
    return loss / pairs, np.ascontiguousarray(gradient, dtype=points.dtype)


def sorted_label_distances(labels, periods, weights, threads):
    """The distances of `losses.label_distances`, sorted as by `sort_rows`, in one pass over labels (m, k)."""
    kind = labels.dtype if labels.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    columns = np.array(labels.T, kind, order="C")
    circles = np.array([np.inf if period is None else period for period in periods], kind)
    np.remainder(columns, circles[:, None], out=columns, where=np.isfinite(circles)[:, None])
    weights, m = np.array(weights, kind), len(labels)
    order, sorted_distances = np.empty((m, m), np.int32), np.empty((m, m), kind)

    def block(start):
        rows = slice(start, start + _BLOCK)
        distances = np.zeros_like(sorted_distances[rows])
        _label_distances(columns, circles, weights, start, distances)
        order[rows], sorted_distances[rows] = sort_rows(distances)

    list(_map(block, range(0, m, _BLOCK), threads))
    return order, sorted_distances


def sort_rows(distances):
    """The columns of each row from near to far (int32) and their distances, from distances (rows, m) >= 0.

    Distances are not negative, so the bits of a float32 sort as integers do. Its lowest bits make room for
    the column: a plain sort of 32-bit words, far faster than an argsort, leaves little for `_fix_order`.
    """
    m = distances.shape[1]
    low = np.uint32((1 << (m - 1).bit_length()) - 1)
    packed = np.array(distances, np.float32).view(np.uint32)
    packed &= ~low
    packed |= np.arange(m, dtype=np.uint32)
    packed.sort(axis=1)
    packed &= low
    order, sorted_distances = packed.view(np.int32), np.empty_like(distances)
    _fix_order(distances, order, sorted_distances)
    return order, sorted_distances


def _map(task, places, threads):
    run = map if threads == 1 or len(places) == 1 else _pool(os.getpid(), threads).map
    return run(task, places)


@lru_cache(maxsize=1)
def _pool(_process, threads):
    """A pool of threads for this process; a forked child makes its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="nerlib-rank-loss")


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _distances(coordinates, start, distance):
    d, n = coordinates.shape
    for row in range(distance.shape[0]):
        squared = distance[row]
        squared[:] = 0
        for axis in range(d):
            here = coordinates[axis, start + row]
            for k in range(n):
                squared[k] += (coordinates[axis, k] - here) ** 2
        for k in range(n):
            squared[k] = math.sqrt(squared[k])


@numba.njit(nogil=True, cache=True)
def _label_distances(columns, periods, weights, start, distances):
    m = columns.shape[1]
    for row in range(distances.shape[0]):
        total = distances[row]
        for column in range(columns.shape[0]):
            here, period, weight = columns[column, start + row], periods[column], weights[column]
            for k in range(m):
                distance = abs(columns[column, k] - here)
                total[k] += weight * min(distance, period - distance)


@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _process_rows(
    coordinates, start, distance, exp_similarity, order, sorted_distances, temperature, factors, gradient
):
    """Rows start, start + 1, … in groups of `_LANES`, taking the logarithm of ``factors`` factors at once."""
    d, n = coordinates.shape
    m = order.shape[0]
    copies = n // m
    of_label = np.empty(m, distance.dtype)  # Σ of e over the columns that carry a label
    z = np.ones((m, _LANES))  # denominators, then A, in the order of the columns
    tie = np.zeros((m, _LANES), np.bool_)  # whether a column is at the same distance as the one before
    product = np.empty(_LANES)
    slope, pull = np.empty(m, distance.dtype), np.empty(n, distance.dtype)
    zero, one, count = pull.dtype.type(0), pull.dtype.type(1), pull.dtype.type(copies)
    loss = 0.0
    for first in range(0, distance.shape[0], _LANES):
        rows = range(first, min(first + _LANES, distance.shape[0]))
        for row in rows:
            i, lane = start + row, row - first
            columns, label_distance, e = order[i % m], sorted_distances[i % m], exp_similarity[row]
            e[i] = zero
            of_label[:] = e[:m]
            for copy in range(1, copies):
                for k in range(m):
                    of_label[k] += e[copy * m + k]
            for place in range(m):
                z[place, lane] = of_label[columns[place]]
            for place in range(1, m):
                tie[place, lane] = label_distance[place] == label_distance[place - 1]

        for place in range(m - 2, -1, -1):
            for lane in range(_LANES):
                z[place, lane] += z[place + 1, lane]
        product[:] = z[0]
        for place in range(1, m):
            if place % factors == 0:
                loss += copies * np.log(product[: len(rows)]).sum()
                product[:] = 1
            for lane in range(_LANES):
                z[place, lane] = z[place - 1, lane] if tie[place, lane] else z[place, lane]
                product[lane] *= z[place, lane]
        loss += copies * np.log(product[: len(rows)]).sum()
        loss -= np.log(z[0, : len(rows)]).sum()  # a row is nearest to itself, but not its own partner

        z[0] = (copies - 1) / z[0]
        for place in range(1, m):
            for lane in range(_LANES):
                z[place, lane] = z[place - 1, lane] + count / pull.dtype.type(z[place, lane])
        for place in range(m - 2, -1, -1):
            for lane in range(_LANES):
                z[place, lane] = z[place + 1, lane] if tie[place + 1, lane] else z[place, lane]

        for row in rows:
            i, lane = start + row, row - first
            columns, e, r = order[i % m], exp_similarity[row], distance[row]
            for place in range(m):
                slope[columns[place]] = z[place, lane]
            for copy in range(copies):
                for k in range(m):
                    column = copy * m + k
                    push = e[column] * slope[k] - one
                    pull[column] = push / r[column] if r[column] > zero else zero
            length = 0.0
            for k in range(n):
                length += r[k]
            loss += length / temperature
            for axis in range(d):
                here, own_step = coordinates[axis, i], zero
                for k in range(n):
                    step = pull[k] * (here - coordinates[axis, k])
                    own_step -= step
                    gradient[axis, k] += step
                gradient[axis, i] += own_step
    return loss


@numba.njit(nogil=True, cache=True)
def _fix_order(distances, order, sorted_distances):
    """Finish a rough order of columns: insertion by exact distances, or a full sort where that is long."""
    m = distances.shape[1]
    for row in range(distances.shape[0]):
        columns, sorted_, exact = order[row], sorted_distances[row], distances[row]
        for place in range(m):
            sorted_[place] = exact[np.uint32(columns[place])]  # unsigned: nothing to wrap around
        moves = 0
        for place in range(1, m):
            value = sorted_[place]
            if sorted_[place - 1] > value:
                column, hole = columns[place], place
                while hole > 0 and sorted_[hole - 1] > value:
                    sorted_[hole] = sorted_[hole - 1]
                    columns[hole] = columns[hole - 1]
                    hole -= 1
                sorted_[hole] = value
                columns[hole] = column
                moves += place - hole
                if moves > 16 * m:
                    columns[:] = np.argsort(exact)
                    sorted_[:] = exact[columns]
                    break
