"""Models as files: one safetensors file each, with the parameters as JSON."""

import json
from numbers import Integral
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from nerlib._files import write_whole
from nerlib.encoders import ReadIn
from nerlib.models import joint
from nerlib.models._common import pick_device, seeded


class Saved:
    """`save` and `load` of the methods with NER's network, and of ensembles of them."""

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one safetensors file, atomically; parameters are stored as JSON.

        Raises TypeError for an ensemble whose members cannot be saved.
        """
        check_is_fitted(self)
        tensors, header = _packed(self)
        with write_whole(path) as partial:
            save_file(tensors, partial, {"nerlib": json.dumps(header, default=lambda value: value.tolist())})

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Self:
        """Read a model that `save` wrote; FileNotFoundError, or ValueError for another file or class."""
        try:
            with safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {}).get("nerlib", "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise ValueError(f"{path} is not a complete safetensors file ({error}); save it again") from None
        if header is None or header["class"] != cls.__name__:
            found = "no model of nerlib" if header is None else f"a model of class {header['class']}"
            raise ValueError(f"{path} holds {found}; expected a {cls.__name__}")
        if "n_neurons" not in header and "members" not in header:
            raise ValueError(f"{path} is from an earlier version of nerlib; fit the model and save again")
        return _unpacked(cls, tensors, header, device)


def _packed(method):
    """The tensors of a fitted method, and what else a file says of it."""
    parameters = method.get_params(deep=False)
    if not isinstance(method.random_state, Integral):
        parameters["random_state"] = None  # a generator's state is no parameter of the fitted model
    about = {"class": type(method).__name__, "n_features_in": method.n_features_in_, "parameters": parameters}
    if hasattr(method, "members_"):
        return _packed_members(method, about)
    weights = joint.distinct(method.encoders_).state_dict()
    tensors = {f"encoders.{k}": v.cpu().contiguous() for k, v in weights.items()}
    tensors |= {f"anchors.{k}": torch.from_numpy(v) for k, v in method.anchors_._asdict().items()}
    tensors["loss_curve"] = torch.from_numpy(method.loss_curve_)
    n_neurons = [encoder.n_neurons(method.window) for encoder in method.encoders_]
    about |= {"n_neurons": n_neurons, "joint": isinstance(method.encoder_[0], ReadIn)}
    if hasattr(method, "feature_names_in_"):
        about["feature_names_in"] = method.feature_names_in_
    return tensors, about


def _packed_members(ensemble, about):
    del about["parameters"]["estimator"]  # that of the members
    if not all(isinstance(member, Saved) for member in ensemble.members_):
        kind = type(ensemble.estimator).__name__
        raise TypeError(f"an ensemble of {kind} cannot be saved, since {kind} itself cannot")
    packed = [_packed(member) for member in ensemble.members_]
    tensors = {f"{i}.{k}": v for i, (own, _) in enumerate(packed) for k, v in own.items()}
    for name, parts in zip(("matrices", "offsets"), zip(*ensemble.maps_, strict=True), strict=True):
        tensors[name] = torch.from_numpy(np.stack(parts)).contiguous()
    return tensors, about | {"members": [own for _, own in packed]}


def _unpacked(cls, tensors, about, device):
    """A fitted method of what `_packed` returns."""
    given: dict = {k: tuple(v) if isinstance(v, list) else v for k, v in about["parameters"].items()}
    if "members" in about:
        return _unpacked_members(cls, tensors, about, given, device)
    model = cls(**given | {"device": device})
    model.n_features_in_ = about["n_features_in"]
    if "feature_names_in" in about:
        model.feature_names_in_ = np.array(about["feature_names_in"], dtype=object)
    model.loss_curve_ = tensors.pop("loss_curve").numpy()
    model.n_iter_ = len(model.loss_curve_)
    model.anchors_ = joint.Anchors(*(tensors.pop(f"anchors.{k}").numpy() for k in joint.Anchors._fields))
    first, *others = about["n_neurons"]
    with seeded(0):  # the first weights are random, and replaced; the caller's random numbers stay
        encoder = model._make_encoder(first, about["joint"])
        encoders = [encoder, *(encoder.for_session(n, model.window) for n in others)]
    weights = {k.removeprefix("encoders."): v for k, v in tensors.items()}
    joint.distinct(encoders).load_state_dict(weights)
    model.encoders_ = [each.to(pick_device(device)).eval() for each in encoders]
    model.encoder_ = encoders[0]
    return model


def _unpacked_members(cls, tensors, about, given, device):
    members, kinds = [], _kinds(Saved)
    for i, member in enumerate(about["members"]):
        kind = kinds.get(member["class"])
        if kind is None:
            raise ValueError(f"the members are of class {member['class']}; import the module that has it")
        own = {k.removeprefix(f"{i}."): v for k, v in tensors.items() if k.startswith(f"{i}.")}
        members.append(_unpacked(kind, own, member, device))
    ensemble = cls(clone(members[0]).set_params(random_state=None), **given)
    ensemble.members_, ensemble.n_features_in_ = members, about["n_features_in"]
    ensemble.maps_ = list(zip(tensors["matrices"].numpy(), tensors["offsets"].numpy(), strict=True))
    return ensemble


def _kinds(kind):
    """Name -> class, of a class and all that derive from it."""
    return {kind.__name__: kind} | {k: v for sub in kind.__subclasses__() for k, v in _kinds(sub).items()}
