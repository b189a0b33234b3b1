import torch

from nerlib.encoders import Encoder


def test_layers_are_those_of_the_paper():
    encoder = Encoder(70, 3)
    widths = [(m.in_features, m.out_features) for m in encoder if isinstance(m, torch.nn.Linear)]
    assert widths == [(70, 32), (32, 32), (32, 16), (16, 3)]
    assert sum(isinstance(m, torch.nn.GELU) for m in encoder) == 3


def test_points_lie_on_the_sphere():
    points = Encoder(5, 4)(torch.randn(20, 5))
    assert points.shape == (20, 4)
    assert torch.allclose(points.norm(dim=1), torch.ones(20))
