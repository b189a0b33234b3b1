"""The training loop of the methods with NER's network."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from tqdm import trange

from nerlib.models._common import single_thread


def train(method, weights, embed, objective, max_iter=None):
    """Fit weights with Adam, in place, as the parameters of a method say; returns the loss of each step.

    ``embed`` maps bins (B,) to points (B, d); ``objective`` is what `EncoderMethod._objective` returns.
    """
    (batches, loss, parameters), weights = objective, list(weights)
    steps = trange(max_iter or method.max_iter, desc=type(method).__name__, disable=not method.verbose)
    means = [weight.detach().clone() for weight in weights]
    unaveraged = len(steps) - round(method.weight_averaging * len(steps))
    optimizer = torch.optim.Adam([*weights, *parameters], lr=method.learning_rate, fused=True)
    # Filled in place: a scalar kept from every step would leave a hole in memory, a megabyte each.
    curve = torch.empty(len(steps), device=weights[0].device)
    with single_thread() as cores, _prefetched(batches, cores) as draw:
        coming = draw()
        for step in steps:
            bins, target = coming()
            optimizer.zero_grad()
            step_loss = loss(embed(bins), target)
            coming = draw()  # on a second core, while this one is busy with the network
            step_loss.backward()
            optimizer.step()
            curve[step] = step_loss.detach()
            if step >= unaveraged:
                for mean, weight in zip(means, weights, strict=True):
                    mean.lerp_(weight.detach(), 1 / (step - unaveraged + 1))
    if unaveraged < len(steps):
        for mean, weight in zip(means, weights, strict=True):
            weight.data = mean
    losses = curve.cpu().numpy().astype(np.float64)
    if not np.isfinite(losses).all():
        raise method._diverged(f"step {int(np.argmin(np.isfinite(losses)))}")
    return losses


@contextmanager
def _prefetched(batches, cores):
    """A function that requests the next batch, and returns one that waits for it."""
    if cores == 1:
        yield lambda: lambda: next(batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="nerlib-batches") as worker:
        yield lambda: worker.submit(next, batches).result
