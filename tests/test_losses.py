"""The fast loss against the formula, its gradient, and what must not change it."""

from functools import partial

import numpy as np
import pytest
import torch

from nerlib import losses
from nerlib._rank_loss_numba import sort_rows
from nerlib.losses import SortedLabels, rank_loss

PAPER = {"periods": (None, None, 360.0)}  # velocity x, y and direction
ner_loss, label_distances = (partial(f, **PAPER) for f in (losses.ner_loss, losses.label_distances))

PATHS = {
    "compiled": lambda z, distances, temperature: losses._CompiledRankLoss.apply(
        z, SortedLabels(*sort_rows(distances.numpy())), temperature, 1
    ),
    "torch": losses._rank_loss_torch,
}


def loop_distances(labels, periods=(None, None, 360.0), weights=(1.0, 1.0, 1.0)):
    """Label distances of section 3, one difference after the other."""
    distances = torch.zeros(len(labels), len(labels), dtype=torch.float64)
    for i, a in enumerate(labels.tolist()):
        for k, b in enumerate(labels.tolist()):
            for x, y, period, weight in zip(a, b, periods, weights, strict=True):
                apart = abs(x - y)
                if period is not None:
                    apart = min(apart % period, period - apart % period)
                distances[i, k] += weight * apart
    return distances


def loop_loss(z, distances, temperature=1.0):
    """The formula of section 3, pair after pair; autograd takes the gradient."""
    n = len(z)
    total = 0.0
    for i in range(n):
        s = -(z[i] - z).norm(dim=1) / temperature
        others = torch.arange(n) != i
        for j in range(n):
            if j != i:
                farther = others & (distances[i] >= distances[i, j])
                total = total + s[j] - s[farther].exp().sum().log()
    return -total / (n * (n - 1))


def value_and_gradient(loss, z):
    z = z.detach().requires_grad_()
    value = loss(z)
    (gradient,) = torch.autograd.grad(value, z)
    assert value.dtype == gradient.dtype == z.dtype
    return value.item(), gradient


def batch(n, kind, seed=0, dtype=torch.float64):
    """Embeddings and labels: all different, with ties, or with rows that stand twice."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    if kind == "ties":
        labels = np.column_stack([rng.integers(0, 3, n), rng.integers(0, 2, n), 45.0 * rng.integers(0, 8, n)])
    else:
        labels = np.column_stack([100 * rng.normal(size=(n, 2)), 360 * rng.random(n)])
    if kind == "duplicates":
        half = rng.integers(0, max(1, n // 2), n)
        z, labels = z[half], labels[half]
    return torch.tensor(z, dtype=dtype, requires_grad=True), torch.tensor(labels, dtype=dtype)


@pytest.mark.parametrize("kind", ["different", "ties", "duplicates"])
@pytest.mark.parametrize("n", [2, 3, 5, 16, 64])
def test_equals_the_formula(n, kind):
    z, labels = batch(n, kind)
    expected = loop_loss(z, loop_distances(labels)).item()
    assert ner_loss(z, labels).item() == pytest.approx(expected, abs=1e-12)
    assert PATHS["torch"](z, label_distances(labels), 1.0).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weights", [(2.0, 0.5, 0.0), (0.3, 0.7, 0.1)])
@pytest.mark.parametrize("kind", ["different", "ties"])
@pytest.mark.parametrize("temperature", [0.1, 3.0])
def test_temperature_weights_and_periods(temperature, kind, weights):
    z, labels = batch(40, kind)
    options = {"periods": (None, 50.0, None), "weights": weights}
    expected = loop_loss(z, loop_distances(labels, **options), temperature).item()
    assert ner_loss(z, labels, temperature=temperature, **options).item() == pytest.approx(
        expected, abs=1e-12
    )
    distances = label_distances(labels, **options)
    assert PATHS["torch"](z, distances, temperature).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["different", "ties"])
def test_gradient_is_that_of_finite_differences(path, kind):
    z, labels = batch(9, kind)
    distances = label_distances(labels)
    assert torch.autograd.gradcheck(lambda z: PATHS[path](z, distances, 0.7), (z,))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("kind", ["different", "ties", "duplicates"])
@pytest.mark.parametrize("copies", [1, 2])  # in training each label stands twice
def test_every_path_has_the_value_and_gradient_of_the_formula(path, dtype, tolerance, kind, copies):
    z, labels = batch(80, kind, dtype=dtype)
    labels = labels[: len(z) // copies]
    distances = label_distances(labels)
    expected, reference = value_and_gradient(
        lambda z: loop_loss(z, distances.double().repeat(copies, copies)), z.double()
    )
    value, gradient = value_and_gradient(lambda z: PATHS[path](z, distances, 1.0), z)
    assert value == pytest.approx(expected, rel=tolerance)
    assert (gradient - reference).abs().max() < tolerance * reference.abs().max()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("kind", ["different", "ties", "duplicates"])
def test_paths_agree_on_many_rows(path, dtype, tolerance, kind):
    z, labels = batch(1024, kind, dtype=dtype)
    distances = label_distances(labels)
    expected, reference = value_and_gradient(lambda z: PATHS["torch"](z, distances.double(), 1.0), z.double())
    value, gradient = value_and_gradient(lambda z: PATHS[path](z, distances, 1.0), z)
    assert value == pytest.approx(expected, rel=tolerance)
    assert (gradient - reference).abs().max() < tolerance * reference.abs().max()


def test_does_not_depend_on_threads():
    z, labels = batch(300, "different", dtype=torch.float32)
    distances = label_distances(labels)
    results = [torch.autograd.grad(rank_loss(z, distances, threads=n), z)[0] for n in (1, 2, 3)]
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_wide_embeddings_take_the_path_that_cannot_overflow():
    z, labels = batch(40, "different")
    wide = (1e4 * z).detach().requires_grad_()
    loss = ner_loss(wide, labels)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(wide.grad).all()
    assert loss.item() == pytest.approx(PATHS["torch"](z, label_distances(labels), 1e-4).item(), rel=1e-9)


@pytest.mark.parametrize("reach", [70.0, 110.0, 140.0])
def test_products_of_tiny_denominators_do_not_vanish(reach):
    """Few points, far apart: each denominator is near the smallest number, and so is their product sooner."""
    z = reach * torch.tensor([[1, 0, 0], [-1, 0, 0], [-1, 0.01, 0]], dtype=torch.float64)
    labels = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]], dtype=torch.float64)
    expected = loop_loss(z, loop_distances(labels)).item()
    assert ner_loss(z, labels).item() == pytest.approx(expected, rel=1e-9)


def test_how_far_a_label_is_from_itself_does_not_matter():
    z, labels = batch(24, "different")
    distances = label_distances(labels)
    odd = distances + torch.diag(torch.rand(len(distances), dtype=distances.dtype) * distances.max())
    assert rank_loss(z, odd).item() == pytest.approx(rank_loss(z, distances).item(), rel=1e-12)


def test_paired_rows_share_one_sort():
    z, labels = batch(30, "ties")
    twice = torch.cat([z, z.detach() + 0.1 * torch.ones_like(z)])
    mixed = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    expected = ner_loss(twice[mixed], labels.repeat(2, 1)[mixed]).item()
    assert rank_loss(twice, label_distances(labels)).item() == pytest.approx(expected, abs=1e-12)
    assert ner_loss(twice, labels.repeat(2, 1)).item() == pytest.approx(expected, abs=1e-12)


def test_invariances():
    z, labels = batch(40, "ties")
    z = z.detach()
    loss = ner_loss(z, labels).item()
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(1))
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=z.dtype, generator=torch.Generator().manual_seed(2))).Q
    assert ner_loss(z[order], labels[order]).item() == pytest.approx(loss, abs=1e-12)
    assert ner_loss(z @ rotation + 5.0, labels).item() == pytest.approx(loss, abs=1e-12)
    distances = label_distances(labels)
    assert rank_loss(z, distances**3 + distances).item() == pytest.approx(loss, abs=1e-12)
    turned = labels + torch.tensor([7.0, -3.0, 90.0])
    assert ner_loss(z, turned).item() == pytest.approx(loss, abs=1e-12)


def test_is_lower_when_distances_follow_the_rank():
    labels = torch.linspace(0, 1, 32, dtype=torch.float64)[:, None]
    shuffled = labels[torch.randperm(32, generator=torch.Generator().manual_seed(0))]
    assert ner_loss(labels, labels, periods=None) < ner_loss(shuffled, labels, periods=None)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_sorted_with_exact_ties(dtype):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((50, 50)) < 0.5, rng.integers(0, 5, (50, 50)), rng.random((50, 50))).astype(
        dtype
    )
    order, distances = sort_rows(values)
    by_order = np.take_along_axis(values, order.astype(int), axis=1)
    assert (np.diff(by_order, axis=1) >= 0).all()
    assert np.array_equal(np.diff(by_order, axis=1) == 0, distances[:, 1:] == distances[:, :-1])
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(50), (50, 1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["different", "ties", "duplicates"])
@pytest.mark.parametrize("threads", [1, 3])
def test_labels_are_sorted_in_one_pass(dtype, kind, threads):
    _, labels = batch(150, kind, dtype=dtype)
    options = {"periods": (None, None, 360.0), "weights": (0.3, 0.7, 0.1)}
    columns = losses.sort_labels(labels, **options, threads=threads)
    distances = label_distances(labels, **options)
    assert torch.equal(columns.distances(), distances)  # bit for bit, or exact ties would part
    assert (np.diff(columns.sorted_distances, axis=1) >= 0).all()
    if kind != "different":  # label distances of equal labels are equal, bit for bit
        ties = torch.sort(distances, dim=1)[0].diff(dim=1) == 0
        assert (np.diff(columns.sorted_distances, axis=1) == 0).sum() >= int(ties.sum()) > 0


def test_a_wide_embedding_takes_sorted_labels_too():
    z, labels = batch(20, "ties")
    wide = 1000 * z.detach()
    expected = rank_loss(wide, label_distances(labels))
    assert rank_loss(wide, losses.sort_labels(labels, **PAPER)).item() == pytest.approx(
        expected.item(), abs=1e-12
    )


def test_by_default_every_column_is_linear():
    """A third velocity column must not be wrapped at 360."""
    labels = torch.tensor([[0.0, 0.0, 350.0], [0.0, 0.0, 10.0]])
    assert losses.label_distances(labels).tolist() == [[0, 340], [340, 0]]
    z, labels = batch(20, "different")
    linear = losses.ner_loss(z, labels)
    assert (
        linear.item() == losses.ner_loss(z, labels, periods=(None,) * 3).item() != ner_loss(z, labels).item()
    )


def test_a_device_without_float64_gets_float32(monkeypatch):
    assert losses._precision("mps", torch.float64) == torch.float32
    assert (
        losses._precision("cpu", torch.float64) == losses._precision("cuda", torch.float64) == torch.float64
    )
    monkeypatch.setattr(losses, "_precision", lambda device, wanted: torch.float32)
    z, labels = batch(60, "ties", dtype=torch.float32)
    distances = label_distances(labels)
    expected = loop_loss(z.double(), distances.double()).item()
    assert PATHS["torch"](z, distances, 1.0).item() == pytest.approx(expected, rel=1e-4)


def test_label_distance_by_hand():
    labels = torch.tensor([[0.0, 0.0, 350.0], [3.0, -4.0, 10.0], [0.0, 0.0, 170.0]])
    expected = torch.tensor([[0.0, 27.0, 180.0], [27.0, 0.0, 167.0], [180.0, 167.0, 0.0]])
    assert torch.allclose(label_distances(labels), expected)
    assert torch.allclose(label_distances(labels + torch.tensor([0.0, 0.0, 720.0])), expected)


def test_loss_falls_in_descent():
    z, labels = batch(64, "different")
    before = ner_loss(z, labels)
    (gradient,) = torch.autograd.grad(before, z)
    assert ner_loss(z - 0.1 * gradient / gradient.norm(), labels) < before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(4, 3)}, "same n"),
        ({"labels": torch.full((5, 3), float("nan"))}, "NaN"),
        ({"labels": torch.zeros(5, 2)}, "periods has 3 entries but the labels have 2"),
        ({"periods": (None, None, -1.0)}, "periods must be finite and positive"),
        ({"weights": (1.0, -1.0, 1.0)}, "weights must be finite and not negative"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"embedding": torch.zeros(1, 3), "labels": torch.zeros(1, 3)}, "n >= 2"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"embedding": torch.zeros(5, 3), "labels": torch.zeros(5, 3), **change}
    with pytest.raises(ValueError, match=message):
        ner_loss(arguments.pop("embedding"), arguments.pop("labels"), **arguments)


def test_rows_that_cannot_be_tiled_are_refused():
    with pytest.raises(ValueError, match="5 rows of the embedding cannot carry 3 labels"):
        rank_loss(torch.zeros(5, 3), torch.zeros(3, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_gpu_gives_the_same(dtype, tolerance):
    z, labels = batch(200, "ties", dtype=dtype)
    expected, reference = value_and_gradient(lambda z: ner_loss(z, labels.double()), z.double())
    value, gradient = value_and_gradient(lambda z: ner_loss(z, labels), z.cuda())
    assert gradient.device.type == "cuda" and value == pytest.approx(expected, rel=tolerance)
    assert (gradient.cpu() - reference).abs().max() < tolerance * reference.abs().max()
