"""The network of NER and CEBRA (section 3): one time bin in, one point on a sphere out."""

from copy import copy
from itertools import pairwise

import numpy as np
from scipy.special import erf
from torch import nn
from torch.nn.functional import normalize


class ReadIn(nn.Linear):
    """A session's own layer in joint training: its neurons to `WIDTH` signals, the same way in each bin.

    Maps a float tensor (B, window × n_neurons) to (B, window × WIDTH). A new session has n_neurons × WIDTH
    weights to learn, whatever the window.
    """

    WIDTH = 16

    def __init__(self, n_neurons):
        super().__init__(n_neurons, self.WIDTH)

    def forward(self, rates):
        return super().forward(rates.unflatten(1, (-1, self.in_features))).flatten(1)


class Encoder(nn.Sequential):
    """Linear(N, 32) GELU Linear(32, 32) GELU Linear(32, 16) GELU Linear(16, d), scaled to unit length.

    Maps a float tensor (B, n_inputs) to a tensor (B, n_components) of unit rows; without ``sphere`` they keep
    their length. Inputs are neurons × bins of history; ``before`` are modules that come first, as the
    `ReadIn` of a joint fit.
    """

    def __init__(self, n_inputs, n_components=3, *before, sphere=True):
        widths = (n_inputs, 32, 32, 16)
        hidden = (layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.GELU()))
        super().__init__(*before, *hidden, nn.Linear(widths[-1], n_components))
        self.sphere = sphere

    def forward(self, rates):
        return self.place(super().forward(rates))

    def place(self, points):
        """Points (B, n_components) of the last layer on the sphere, if the embedding lies there."""
        return normalize(points) if self.sphere else points

    def n_neurons(self, window):
        """How many neurons the first layer takes."""
        return self[0].in_features // (1 if isinstance(self[0], ReadIn) else window)

    def for_session(self, n_neurons, window):
        """An encoder for other neurons: a first layer of its own, all other layers are these very ones."""
        is_joint, width = isinstance(self[0], ReadIn), self[0].out_features
        other = copy(self)
        other._modules = dict(self._modules)
        other[0] = ReadIn(n_neurons) if is_joint else nn.Linear(n_neurons * window, width)
        return other

    def embed_few(self, rates):
        """`forward` of a float32 array (B, n_inputs) on the CPU, in NumPy, which starts faster than torch."""
        point = rates
        for layer in self:
            if isinstance(layer, nn.GELU):
                point = 0.5 * point * (1 + erf(point * np.float32(0.5**0.5)))
            else:
                weight, bias = (layer._parameters[name].detach().numpy() for name in ("weight", "bias"))
                point = (point.reshape(-1, weight.shape[1]) @ weight.T + bias).reshape(len(rates), -1)
        if not self.sphere:
            return point
        return point / np.maximum(np.linalg.norm(point, axis=1, keepdims=True), np.float32(1e-12))
