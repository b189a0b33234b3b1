"""NER: neural embeddings whose distances follow the rank of distances between movements."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from nerlib.losses import rank_loss, sort_labels
from nerlib.models.base import EncoderMethod
from nerlib.sampling import pairs


@dataclass(kw_only=True, eq=False, repr=False)
class NER(EncoderMethod):
    """Neural Embeddings Rank (section 3 of the paper): rates in a bin to a point on a sphere.

    Each reference bin of a batch comes with a positive, so the loss sees twice ``batch_size`` bins. Other
    parameters, and the attributes, are those of `EncoderMethod`.

    Parameters
    ----------
    temperature : float, τ of the loss
    periods : one entry per label column, None for linear, the period for circular; None: all linear.
        `Session.periods` has those of a session, with direction as in the paper: (None, None, 360)
    weights : one factor per label column, or None for all 1
    """

    max_iter: int = 1200
    learning_rate: float = 4e-3
    temperature: float = 1.0
    periods: tuple | None = None
    weights: tuple | None = None

    def _objective(self, labels, trial, rng, device, lengths=None, anchors=None):
        columns = {"periods": self.periods, "weights": self.weights}
        drawn = pairs(labels, batch_size=self.batch_size, rng=rng, trial=trial, lengths=lengths, **columns)
        targets = torch.as_tensor(labels, dtype=torch.float32, device=device)
        threads = torch.get_num_threads()

        def batches():
            for reference, positive in drawn:
                own = targets[torch.as_tensor(reference, device=device)]
                yield np.concatenate([reference, positive]), sort_labels(own, **columns, threads=1)

        return batches(), partial(rank_loss, temperature=self.temperature, threads=threads), []
