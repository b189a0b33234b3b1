"""CEBRA (Schneider, Lee, Mathis, Nature 2023): the encoder, batches and training of NER, with InfoNCE."""

from dataclasses import dataclass

import numpy as np

from nerlib.losses import infonce_loss
from nerlib.models._common import select_columns
from nerlib.models.base import EncoderMethod
from nerlib.sampling import draw_bins, pairs


@dataclass(kw_only=True, eq=False, repr=False)
class CEBRA(EncoderMethod):
    """CEBRA-Behavior with continuous labels, as the NER paper compares it (Methods page, *Other methods*).

    A positive is the bin whose label is nearest, by Euclidean distance, to the reference's label plus the
    change over one time step at a random bin; negatives are any bins. The published runs gave it velocity and
    the angle in plain degrees, so that 0 and 315 were far from each other; it does far better with velocity
    alone. (In the published runs the change from one trial to the next also counted as a time step; here it
    does not.) Other parameters, and the attributes, are those of `EncoderMethod`.

    Parameters
    ----------
    label_columns : tuple of int, the label columns to use; "linear": those without a period, as velocity;
        None: all, as published
    temperature : float, τ of the loss
    periods : one entry a label column, as in `NER`; "linear" needs them, the loss takes all columns as linear
    """

    label_columns: tuple | str | None = None
    temperature: float = 1.0
    periods: tuple | None = None

    def _objective(self, labels, trial, rng, device, lengths=None, anchors=None):
        labels, *_ = select_columns(labels, self.label_columns, self.periods)
        drawn = pairs(labels, batch_size=self.batch_size, rng=rng, trial=trial, lengths=lengths)
        lengths = lengths or [len(labels)]
        negatives = np.random.default_rng(rng.integers(2**63))

        def batches():
            for pair in drawn:
                yield np.concatenate([*pair, draw_bins(negatives, lengths, self.batch_size)]), None

        def loss(embedding, _):
            return infonce_loss(*embedding.chunk(3), temperature=self.temperature, normalized=True)

        return batches(), loss, []
