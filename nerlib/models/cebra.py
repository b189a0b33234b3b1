"""CEBRA (Schneider, Lee, Mathis, Nature 2023): the encoder, batches and training of NER, with InfoNCE."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from nerlib.losses import infonce_of_units
from nerlib.models._common import check_numbers, select_columns
from nerlib.models.base import EncoderMethod
from nerlib.sampling import draw_bins, pairs


@dataclass(kw_only=True, eq=False, repr=False)
class CEBRA(EncoderMethod):
    """CEBRA-Behavior with continuous labels, as the NER paper compares it (Methods page, *Other methods*).

    A positive is the bin whose label is nearest, by Euclidean distance, to the reference's label plus the
    change over one time step at a random bin; negatives are any bins. The published runs gave it velocity and
    the angle in plain degrees, so that 0 and 315 were far from each other; it does far better with velocity
    alone. ``label_columns`` selects. (In the published runs the change from one trial to the next also
    counted as a time step; here it does not.)

    Other parameters, and the attributes, are those of `EncoderMethod`.

    Parameters
    ----------
    label_columns : tuple of int, the label columns to use; None: all, as published
    temperature : float, τ of the loss
    """

    label_columns: tuple | None = None
    temperature: float = 1.0

    def _objective(self, labels, trial, rng, device, lengths=None, anchors=None):
        labels = select_columns(labels, self.label_columns)
        drawn = pairs(labels, batch_size=self.batch_size, rng=rng, trial=trial, lengths=lengths)
        lengths = lengths or [len(labels)]
        negatives = np.random.default_rng(rng.integers(2**63))
        batches = (
            (np.concatenate([*pair, draw_bins(negatives, lengths, self.batch_size)]), None) for pair in drawn
        )

        def loss(embedding, _):
            return infonce_of_units(*embedding.chunk(3), self.temperature)

        return batches, loss, []

    def _check_parameters(self):
        super()._check_parameters()
        check_numbers(self, Real, "temperature")
