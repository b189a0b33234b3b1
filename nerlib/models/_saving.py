"""Models as files: one safetensors file each, with the parameters as JSON."""

import json
from numbers import Integral

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nerlib._files import write_whole
from nerlib.encoders import ReadIn
from nerlib.models import joint
from nerlib.models._common import pick_device


def save(method, path):
    """See `EncoderMethod.save`."""
    weights = _distinct(method.encoders_).state_dict()
    tensors = {f"encoders.{k}": v.cpu().contiguous() for k, v in weights.items()}
    tensors |= {f"anchors.{k}": torch.from_numpy(v) for k, v in method.anchors_._asdict().items()}
    tensors["loss_curve"] = torch.from_numpy(method.loss_curve_)
    parameters = method.get_params()
    if not isinstance(method.random_state, Integral):
        parameters["random_state"] = None  # a generator's state is no parameter of the fitted model
    header = {
        "class": type(method).__name__,
        "n_features_in": method.n_features_in_,
        "n_neurons": [encoder.n_neurons(method.window) for encoder in method.encoders_],
        "joint": isinstance(method.encoder_[0], ReadIn),
        "parameters": parameters,
    }
    if hasattr(method, "feature_names_in_"):
        header["feature_names_in"] = method.feature_names_in_
    with write_whole(path) as partial:
        save_file(tensors, partial, {"nerlib": json.dumps(header, default=lambda value: value.tolist())})


def load(cls, path, device):
    """See `EncoderMethod.load`."""
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("nerlib", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error}); save it again") from None
    if header is None or header["class"] != cls.__name__:
        found = "no model of nerlib" if header is None else f"a {header['class']}"
        raise ValueError(f"{path} holds {found}; expected a {cls.__name__}")
    if "n_neurons" not in header:
        raise ValueError(f"{path} was saved by an earlier version of nerlib; fit the model and save it again")
    given: dict = {k: tuple(v) if isinstance(v, list) else v for k, v in header["parameters"].items()}
    model = cls(**given | {"device": device})
    model.n_features_in_ = header["n_features_in"]
    if "feature_names_in" in header:
        model.feature_names_in_ = np.array(header["feature_names_in"], dtype=object)
    model.loss_curve_ = tensors.pop("loss_curve").numpy()
    model.n_iter_ = len(model.loss_curve_)
    model.anchors_ = joint.Anchors(*(tensors.pop(f"anchors.{k}").numpy() for k in joint.Anchors._fields))
    first, *others = header["n_neurons"]
    encoder = model._make_encoder(first, header["joint"])
    encoders = [encoder, *(encoder.for_session(n, model.window) for n in others)]
    weights = {k.removeprefix("encoders."): v for k, v in tensors.items()}
    _distinct(encoders).load_state_dict(weights)
    model.encoders_ = [each.to(pick_device(device)).eval() for each in encoders]
    model.encoder_ = encoders[0]
    return model


def _distinct(encoders):
    """The first encoder, and of the others, which share all layers but one, that layer."""
    return torch.nn.ModuleList([encoders[0], *(other[0] for other in encoders[1:])])
