"""Check that the core installation works without any extra: `make light`.

Run by plain Python, without pytest, in an environment that holds only `pip install .`.
"""

import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

from toy import make_session, small

import nerlib

EXTRAS = ("IPython", "hdmf", "matplotlib", "plotly", "pooch", "pynwb", "requests", "seaborn", "umap")
CORE = [name for name in nerlib.models.METHODS if "UMAP" not in name]
METHODS = small(*CORE, periods=(None, None, 360.0), random_state=0)


def check_environment():
    exec("from nerlib import *", {})
    home = Path(nerlib.__file__)
    assert Path(sys.prefix) in home.parents, f"nerlib is imported from {home}, not from this environment"
    found = [name for name in EXTRAS if importlib.util.find_spec(name)]
    assert not found, f"the core installation should not bring {', '.join(found)}"


def check_methods(data):
    train, test = data.split()
    embeddings = {}
    for name, method in METHODS.items():
        method.fit(train.rates, train.labels, train.trial)
        embeddings[name] = [method.transform(part.rates, part.trial) for part in (train, test)]
        for decoder in (nerlib.decoders.LinearDecoder(), nerlib.decoders.KNNDecoder()):
            scores = decoder.fit(embeddings[name][0], train).score(embeddings[name][1], test, held_out=True)
            assert scores.keys() == {"published", "corrected"}, name
            assert np.isfinite([*scores["published"].values(), *scores["corrected"].values()]).all(), name
    return train, embeddings["NER"][0]


def check_alignment(train, embedding):
    mirrored = embedding * [1, 1, -1]
    rotation = nerlib.alignment.align(embedding, mirrored, train, train)
    assert np.allclose(embedding @ rotation, mirrored, atol=1e-5)
    _, *averages = nerlib.alignment.common_averages([embedding, mirrored], [train, train])
    assert nerlib.metrics.consistency(*averages) > 0.999


def check_files(folder, data):
    for name, model in METHODS.items():
        if hasattr(model, "save"):
            path = Path(folder) / "model.safetensors"
            model.save(path)
            again = type(model).load(path).transform(data.rates, data.trial)
            assert np.array_equal(again, model.transform(data.rates, data.trial)), name
    assert path.is_file()


def check_experiments(folder, data):
    chosen = {name: METHODS[name] for name in ("NER", "PCA")}
    settings = {"n_jobs": 2, "cache": Path(folder) / "cache", "verbose": False}
    sessions = [data, make_session(seed=1, name="Toy_2")]
    first, second = (nerlib.experiments.run(sessions, chosen, (0, 1), **settings) for _ in range(2))
    assert first == second and {r["protocol"] for r in first} == {"published", "corrected"}


def check_missing_extras(data):
    """What needs an extra says which, in one line."""
    calls = {
        "nwb": lambda: nerlib.read_nwb("any.nwb"),
        "umap": lambda: nerlib.UMAP().fit(data.rates),
        "plots": lambda: nerlib.plots,
    }
    for extra, call in calls.items():
        try:
            call()
        except ImportError as error:
            told = str(error)
            assert f"pip install 'nerlib[{extra}]'" in told and "\n" not in told, told
            assert error.__cause__ is None and error.__suppress_context__, (
                f"{extra}: chained to another error"
            )
        else:
            raise AssertionError(f"no ImportError without the extra {extra}")


def main():
    check_environment()
    data = make_session()
    check_missing_extras(data)
    check_alignment(*check_methods(data))
    with tempfile.TemporaryDirectory() as folder:
        check_files(folder, data)
        check_experiments(folder, data)
    print(f"nerlib {nerlib.__version__} works without extras")


if __name__ == "__main__":
    warnings.filterwarnings("error", module="nerlib")
    main()
