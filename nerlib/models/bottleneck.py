"""The MSE bottleneck, a control: NER's network trained to predict the labels by their squared error."""

from dataclasses import dataclass

import torch
from sklearn.linear_model import LinearRegression
from torch.nn.functional import mse_loss

from nerlib.models._common import regression_targets, select_columns
from nerlib.models.base import EncoderMethod
from nerlib.sampling import draw_bins


@dataclass(kw_only=True, eq=False, repr=False)
class Bottleneck(EncoderMethod):
    """NER's encoder, followed by a linear map to the labels and trained by their squared error.

    Linear label columns are standardised, circular ones (direction) become cosine and sine. Other parameters,
    and the attributes, are those of `EncoderMethod`.

    Parameters
    ----------
    n_components : int, width of the bottleneck, which is the embedding
    label_columns : as in `CEBRA`
    periods : as in `NER`; needed for "linear"
    weights : as in `NER`; factors of the columns before errors are squared
    sphere : bool, whether points have unit length, as NER's have; False: they keep the length that the linear
        map wants (the *flat* bottleneck)
    """

    max_iter: int = 1600
    batch_size: int = 64
    learning_rate: float = 6e-3
    label_columns: tuple | str | None = None
    periods: tuple | None = None
    weights: tuple | None = None
    sphere: bool = True

    def _objective(self, labels, trial, rng, device, lengths=None, anchors=None):
        columns = select_columns(labels, self.label_columns, self.periods, self.weights)
        targets = torch.as_tensor(regression_targets(*columns), dtype=torch.float32, device=device)
        head = torch.nn.Linear(self.n_components, targets.shape[1]).to(device)
        if anchors is not None:  # the embedding of the first bins stays as it is, and so does what reads it
            known = LinearRegression().fit(anchors, targets[: len(anchors)].cpu())
            weights = {"weight": torch.from_numpy(known.coef_), "bias": torch.from_numpy(known.intercept_)}
            head.load_state_dict(weights)

        def batches():
            while True:
                bins = draw_bins(rng, lengths or [len(labels)], self.batch_size)
                yield bins, targets[torch.as_tensor(bins, device=device)]

        trained = list(head.parameters()) if anchors is None else []
        return batches(), lambda embedding, target: mse_loss(head(embedding), target), trained
