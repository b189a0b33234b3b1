"""The settings of the paper, and the quicker profiles."""

import pytest

from companion import paper
from nerlib.models import METHODS, Ensemble

PUBLISHED = {"max_iter": 20_000, "batch_size": 512, "learning_rate": 1e-4, "weight_averaging": 0.0}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NER", PUBLISHED | {"n_components": 3, "temperature": 1.0, "weights": None, "window": 1}),
        ("CEBRA", PUBLISHED | {"n_components": 3, "label_columns": None}),
        ("CEBRA-velocity", PUBLISHED | {"n_components": 3, "label_columns": "linear"}),
        ("CEBRA-16", PUBLISHED | {"n_components": 16, "label_columns": None}),
        ("MSE bottleneck", PUBLISHED | {"n_components": 3}),
        ("piVAE", {"max_iter": 300, "scale_labels": False, "batch_size": 200, "learning_rate": 2.5e-4}),
        ("UMAP", {"max_iter": None, "supervised": False, "n_components": 2, "n_neighbors": 15}),
        ("UMAP-label", {"max_iter": None, "supervised": True, "n_components": 2}),
        ("ridge, 10 bins", {"window": 10}),
    ],
)
def test_published_settings(name, expected):
    found = paper.make_method(name, "paper").get_params()
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("profile", ["fast", "quick"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NER", (1200, 128, 4e-3, 0.75)),
        ("CEBRA", (2400, 128, 2e-3, 0.75)),
        ("CEBRA-velocity", (2400, 128, 2e-3, 0.75)),
        ("CEBRA-16", (1200, 128, 6e-3, 0.75)),
        ("MSE bottleneck", (1600, 64, 6e-3, 0.75)),
        ("piVAE", (60, 200, 4e-4)),
        ("UMAP", (100,)),
        ("UMAP-label", (100,)),
    ],
)
def test_quick_trains_no_worse_than_fast(name, expected, profile):
    found = paper.make_method(name, profile).get_params()
    assert tuple(found[key] for key in PUBLISHED if key in found) == expected


@pytest.mark.parametrize("profile", paper.PROFILES)
@pytest.mark.parametrize("name", METHODS)
def test_periods_are_explicit_wherever_there_are_any(name, profile):
    found = paper.make_method(name, profile).get_params()
    assert found.get("periods", paper.PERIODS) == (None, None, 360.0)
    assert "periods" in found or name not in ("NER", *paper.CONTROLS)


@pytest.mark.parametrize("profile", ["best", "causal"])
def test_ner_beyond_the_paper_is_an_ensemble_with_history(profile):
    ensemble = paper.make_method("NER", profile, random_state=3, max_iter=7)
    assert isinstance(ensemble, Ensemble) and (ensemble.n_members, ensemble.random_state) == (5, 3)
    found = ensemble.estimator.get_params()
    assert (found["max_iter"], found["periods"], found["neuron_dropout"]) == (7, paper.PERIODS, 0.3)
    assert found["window"] >= 10 and found["n_components"] == 3


def test_methods_takes_names_and_overrides():
    found = paper.methods(["NER", "CEBRA-velocity"], "quick", max_iter=7)
    assert list(found) == ["NER", "CEBRA-velocity"]
    assert [model.max_iter for model in found.values()] == [7, 7]
    assert found["CEBRA-velocity"].label_columns == "linear"
    assert list(paper.methods("NER", "quick")) == ["NER"]
    with pytest.raises(TypeError, match="n_componets"):
        paper.make_method("NER", "quick", n_componets=3)


def test_rivals_are_all_others_and_quick_leaves_out_those_that_take_minutes():
    assert set(paper.rivals("fast")) == set(paper.rivals("paper")) == set(METHODS) - {"NER"}
    assert set(paper.rivals("fast")) - set(paper.rivals("quick")) == {"piVAE", "UMAP", "UMAP-label"}
    assert set(paper.CONTROLS) <= set(METHODS)


def test_unknown_method_or_profile_is_refused():
    with pytest.raises(ValueError, match="unknown method 'NERD'; expected one of NER, CEBRA"):
        paper.make_method("NERD", "fast")
    with pytest.raises(ValueError, match="unknown profile 'slow' of NER; expected one of paper, .*, best"):
        paper.make_method("NER", "slow")
    with pytest.raises(ValueError, match="unknown profile 'best' of CEBRA; .* paper, fast, quick$"):
        paper.make_method("CEBRA", "best")
