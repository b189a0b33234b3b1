"""CEBRA (Schneider, Lee, Mathis, Nature 2023): the encoder, batches and training of NER, with InfoNCE."""

from numbers import Real

import numpy as np

from nerlib.losses import infonce_loss
from nerlib.models.encoded import EncodedMethod, check_number, chosen_columns
from nerlib.sampling import pairs


class CEBRA(EncodedMethod):
    """CEBRA-Behavior with continuous labels, as the paper compares it (SCIENCE, section 4).

    A positive is the bin whose label is nearest, by Euclidean distance, to the reference's label plus the
    change over one time step at a random bin; negatives are any bins. The published runs gave it velocity and
    the angle in plain degrees, so that 0 and 315 lay far apart; it does far better on velocity alone. Which
    it gets is ``label_columns``. (There the change from one trial to the next counted as a time step, too;
    here it does not.)

    Parameters
    ----------
    n_components : int, dimensions of the embedding (the paper: 3, and 16 for the kNN decoder)
    label_columns : tuple of int, the columns of the labels that it is given; None: all, as published
    max_iter, batch_size, learning_rate, averaged, temperature, window, random_state, device, verbose :
        as in `NER`

    Attributes
    ----------
    encoder_, loss_curve_, n_iter_, n_features_in_ : as in `NER`
    """

    def __init__(
        self,
        n_components=3,
        *,
        label_columns=None,
        max_iter=2400,
        batch_size=128,
        learning_rate=2e-3,
        averaged=0.75,
        temperature=1.0,
        window=1,
        random_state=None,
        device="auto",
        verbose=False,
    ):
        self.n_components = n_components
        self.label_columns = label_columns
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.averaged = averaged
        self.temperature = temperature
        self.window = window
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def _objective(self, labels, trial, rng, device):
        labels = chosen_columns(labels, self.label_columns)
        drawn = pairs(labels, batch_size=self.batch_size, rng=rng, trial=trial)
        negatives = np.random.default_rng(rng.integers(2**63))
        batches = (
            (np.concatenate([*pair, negatives.integers(len(labels), size=self.batch_size)]), None)
            for pair in drawn
        )

        def loss(embedding, _):
            return infonce_loss(*embedding.chunk(3), temperature=self.temperature)

        return batches, loss, []

    def _check_parameters(self):
        super()._check_parameters()
        check_number("temperature", self.temperature, Real, "a number")
