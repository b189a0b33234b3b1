"""The training loop of the methods with NER's network."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from nerlib.models._common import single_thread


def train(weights, embed, objective, steps, *, learning_rate, weight_averaging):
    """Fit weights with Adam, in place.

    Parameters
    ----------
    weights : list of tensors
    embed : callable, bins (B,) -> embedding (B, d)
    objective : batches, loss, parameters, as `EncoderMethod._objective` returns them
    steps : range, or a progress bar over one
    learning_rate, weight_averaging : as in `EncoderMethod`

    Returns
    -------
    float array, the loss of each step; where it is not finite, the weights are useless
    """
    batches, loss, parameters = objective
    means = [weight.detach().clone() for weight in weights]
    unaveraged = len(steps) - round(weight_averaging * len(steps))
    optimizer = torch.optim.Adam([*weights, *parameters], lr=learning_rate, fused=True)
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
    return curve.cpu().numpy().astype(np.float64)


@contextmanager
def _prefetched(batches, cores):
    """A function that requests the next batch, and returns one that waits for it."""
    if cores == 1:
        yield lambda: lambda: next(batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="nerlib-batches") as worker:
        yield lambda: worker.submit(next, batches).result
