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
    tensors = {f"encoder.{k}": v.cpu().contiguous() for k, v in method.encoder_.state_dict().items()}
    for i, other in enumerate(method.encoders_[1:], 1):
        tensors |= {f"session{i}.{k}": v.cpu().contiguous() for k, v in other[0].state_dict().items()}
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
    given: dict = {k: tuple(v) if isinstance(v, list) else v for k, v in header["parameters"].items()}
    model = cls(**given | {"device": device})
    model.n_features_in_ = header["n_features_in"]
    if "feature_names_in" in header:
        model.feature_names_in_ = np.array(header["feature_names_in"], dtype=object)
    model.loss_curve_ = tensors.pop("loss_curve").numpy()
    model.n_iter_ = len(model.loss_curve_)
    encoder = model._make_encoder(model.n_features_in_, header.get("joint", False))
    others = [encoder.for_session(n, model.window) for n in header.get("n_neurons", [0])[1:]]
    for prefix, module in [
        ("encoder", encoder),
        *((f"session{i}", e[0]) for i, e in enumerate(others, 1)),
    ]:
        own = {k: v for k, v in tensors.items() if k.startswith(f"{prefix}.")}
        module.load_state_dict({k.removeprefix(f"{prefix}."): v for k, v in own.items()})
    model.encoders_ = [each.to(pick_device(device)).eval() for each in (encoder, *others)]
    model.encoder_ = model.encoders_[0]
    if "anchors.trial" in tensors:  # files of earlier versions hold none
        model.anchors_ = joint.Anchors(*(tensors[f"anchors.{k}"].numpy() for k in joint.Anchors._fields))
    return model
