"""NER: neural embeddings whose distances follow the rank of distances between movements."""

from numbers import Real

import numpy as np
import torch

from nerlib.losses import check_per_column, order_labels, rank_loss
from nerlib.models.encoded import EncodedMethod, check_number
from nerlib.sampling import pairs


class NER(EncodedMethod):
    """Neural Embeddings Rank (section 3 of the paper): rates in a bin to a point on a sphere.

    Parameters
    ----------
    n_components : int, dimensions of the embedding
    max_iter : int, training steps (the paper: 20 000, and 5 000 for MC_Maze)
    batch_size : int, reference bins a step (the paper: 512); each comes with its positive, so the loss sees
        twice as many
    learning_rate : float, Adam's rate (the paper: 1e-4)
    averaged : float from 0 to 1, the share of the steps, the last ones, whose weights the network takes the
        mean of (Polyak and Juditsky, SIAM J. Control Optim. 1992); 0: those of the last step (the paper)
    temperature : float, τ of the loss
    periods : one entry a label column, None for linear, the period for circular; None: all linear
    weights : one factor a label column, or None for all 1
    window : int, bins of history that the network sees, the current bin included (the paper: 1)
    random_state : int, RandomState or None
    device : "auto" (a GPU if there is one), "cpu", "cuda", …
    verbose : bool, show a progress bar

    Attributes
    ----------
    encoder_ : torch module, fitted
    loss_curve_ : float array (n_iter_,), the loss of each step
    n_iter_ : int, steps taken
    n_features_in_ : int, neurons
    """

    def __init__(
        self,
        n_components=3,
        *,
        max_iter=2400,
        batch_size=128,
        learning_rate=2e-3,
        averaged=0.75,
        temperature=1.0,
        periods=(None, None, 360.0),
        weights=None,
        window=1,
        random_state=None,
        device="auto",
        verbose=False,
    ):
        self.n_components = n_components
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.averaged = averaged
        self.temperature = temperature
        self.periods = periods
        self.weights = weights
        self.window = window
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def _objective(self, labels, trial, rng, device):
        n_columns = labels.shape[1]
        periods = check_per_column("periods", self.periods, n_columns, None)
        weights = check_per_column("weights", self.weights, n_columns, 1.0)
        columns = {"periods": periods, "weights": weights}
        drawn = pairs(labels, batch_size=self.batch_size, rng=rng, trial=trial, **columns)
        targets = torch.as_tensor(labels, dtype=torch.float32, device=device)
        settings = {"temperature": self.temperature, "threads": torch.get_num_threads()}

        def batches():
            for reference, positive in drawn:
                own = targets[torch.as_tensor(reference, device=device)]
                yield np.concatenate([reference, positive]), order_labels(own, **columns, threads=1)

        def loss(embedding, labels):
            return rank_loss(embedding, labels, **settings)

        return batches(), loss, []

    def _check_parameters(self):
        super()._check_parameters()
        check_number("temperature", self.temperature, Real, "a number")
