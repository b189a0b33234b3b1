"""The network of NER and CEBRA (section 3): one time bin in, one point on a sphere out."""

import numpy as np
from scipy.special import erf
from torch import nn
from torch.nn.functional import normalize


class Encoder(nn.Sequential):
    """Linear(N, 32) GELU Linear(32, 32) GELU Linear(32, 16) GELU Linear(16, d), scaled to unit length.

    Parameters
    ----------
    n_inputs : int, neurons × bins of history
    n_components : int, d

    Maps a float tensor (B, n_inputs) to a tensor (B, n_components) of unit rows.
    """

    def __init__(self, n_inputs, n_components=3):
        widths = (n_inputs, 32, 32, 16)
        hidden = (
            layer for a, b in zip(widths, widths[1:], strict=False) for layer in (nn.Linear(a, b), nn.GELU())
        )
        super().__init__(*hidden, nn.Linear(widths[-1], n_components))

    def forward(self, rates):
        return normalize(super().forward(rates))

    def embed_few(self, rates):
        """The same for a float32 array (B, n_inputs) on the CPU, in NumPy, without gradients.

        For a bin at a time, as a decoder in a closed loop would ask: torch takes several times as long to
        start its operations as these take to finish.
        """
        point = rates
        for layer in self:
            if isinstance(layer, nn.GELU):
                point = 0.5 * point * (1 + erf(point * np.float32(0.5**0.5)))
            else:
                weight, bias = (layer._parameters[name].detach().numpy() for name in ("weight", "bias"))
                point = point @ weight.T + bias
        return point / np.maximum(np.linalg.norm(point, axis=1, keepdims=True), np.float32(1e-12))
