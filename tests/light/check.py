"""Check that the core installation works without any extra: `make light`.

Run by plain Python, without pytest, in an environment that holds only `pip install .`.
"""

import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

import nerlib

EXTRAS = ("IPython", "hdmf", "matplotlib", "plotly", "pooch", "pynwb", "requests", "seaborn", "umap")
QUICK = {"max_iter": 20, "random_state": 0}
METHODS = {
    "NER": nerlib.NER(periods=(None, None, 360.0), **QUICK),
    "CEBRA": nerlib.CEBRA(**QUICK),
    "MSE bottleneck": nerlib.Bottleneck(periods=(None, None, 360.0), **QUICK),
    "piVAE": nerlib.PiVAE(max_iter=1, random_state=0),
    "PCA": nerlib.PCA(),
    "dPCA": nerlib.DPCA(random_state=0),
    "ridge": nerlib.Ridge(periods=(None, None, 360.0)),
}


def session(seed=0, n_trials=40, n_bins=20, n_neurons=12):
    """Reaches to eight directions, and neurons with cosine tuning."""
    rng = np.random.default_rng(seed)
    trial = np.repeat(np.arange(n_trials), n_bins)
    direction = 45.0 * (trial % 8)
    speed = np.tile(300 * np.sin(np.linspace(0, np.pi, n_bins)), n_trials)
    angle = np.deg2rad(direction)
    velocity = speed[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(
        0, 10, (len(trial), 2)
    )
    tuning = rng.normal(size=(2, n_neurons)) / 300
    rates = rng.poisson(np.exp(velocity @ tuning)).astype(float)
    return nerlib.Session(rates, velocity, direction, trial, name=f"day{seed}")


def check_environment():
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
        assert all(np.isfinite(z).all() for z in embeddings[name]), name
        for decoder in (nerlib.decoders.LinearDecoder(), nerlib.decoders.KNNDecoder()):
            scores = decoder.fit(embeddings[name][0], train).score(embeddings[name][1], test, held_out=True)
            assert (
                scores.keys() == {"published", "corrected"}
                and np.isfinite(list(scores["corrected"].values())).all()
            )
    assert set(nerlib.models.METHODS) - {"UMAP", "UMAP-label"} >= set(METHODS)
    assert (nerlib.metrics.rank_agreement(embeddings["NER"][1], test.labels, periods=test.periods) <= 1).all()
    return train, embeddings["NER"][0]


def check_alignment(train, embedding):
    mirrored = embedding * [1, 1, -1]
    rotation = nerlib.alignment.align(embedding, mirrored, train, train)
    assert np.allclose(embedding @ rotation, mirrored, atol=1e-5)
    _, *averages = nerlib.alignment.common_averages([embedding, mirrored], [train, train])
    assert nerlib.metrics.consistency(*averages) > 0.999


def check_files(folder, data):
    for name in ("NER", "CEBRA", "MSE bottleneck"):
        model, path = METHODS[name], Path(folder) / "model.safetensors"
        model.save(path)
        assert np.array_equal(type(model).load(path).transform(data.rates), model.transform(data.rates)), name


def check_experiments(folder, data):
    chosen = {name: METHODS[name] for name in ("NER", "PCA")}
    settings = {"n_jobs": 2, "cache": Path(folder) / "cache", "verbose": False}
    first, second = (nerlib.experiments.run([data, session(1)], chosen, (0, 1), **settings) for _ in range(2))
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
    data = session()
    check_missing_extras(data)
    check_alignment(*check_methods(data))
    with tempfile.TemporaryDirectory() as folder:
        check_files(folder, data)
        check_experiments(folder, data)
    print(f"nerlib {nerlib.__version__} works without extras")


if __name__ == "__main__":
    warnings.filterwarnings("error", module="nerlib")
    main()
