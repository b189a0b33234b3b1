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


def test_a_few_bins_go_the_same_way():
    encoder, rates = Encoder(30, 3), torch.randn(9, 30)
    few = encoder.embed_few(rates.numpy())
    assert few.dtype == "float32"
    assert torch.allclose(torch.from_numpy(few), encoder(rates), atol=1e-6)
    nothing = Encoder(4, 3)
    for parameter in nothing.parameters():
        torch.nn.init.zeros_(parameter)
    assert (nothing.embed_few(rates.numpy()[:, :4]) == 0).all()
