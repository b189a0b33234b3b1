"""The README quotes what was measured; the settings in use are among those tried. (Nothing is timed here.)"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import r2_score
from toy import make_session

from companion import paper, templates

ROOT = Path(__file__).parents[1]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def speed():
    return script("speed")


def test_readme_quotes_the_results_file(speed):
    content = json.loads(speed.RESULTS.read_text())
    assert speed.table(content) in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("loop", ["loop_over_pairs", "loop_over_columns"])
def test_the_loops_are_the_library_loss(speed, loop):
    points, labels = speed.batch(40)
    distances = speed.losses.label_distances(labels, speed.PERIODS)
    found = speed.losses.ner_loss(points, labels, periods=speed.PERIODS)
    assert found.item() == pytest.approx(getattr(speed, loop)(points, distances).item(), abs=1e-5)


def test_profile_fast_is_among_the_settings_that_were_validated():
    validation = script("validation")
    records = json.loads(validation.PATH.read_text())["records"]
    tried = {(r["method"], r["settings"]) for r in records}
    for method in (*validation.METHODS, "piVAE"):
        fast = paper.make_method(method, "fast").get_params()
        used = {name: fast[name] for name in validation.TRIED[0]}
        assert (method, validation.describe(used)) in tried


@pytest.fixture(scope="module")
def equal_chances():
    return script("equal_chances")


def test_choosing_settings_sees_no_test_trial(equal_chances, session, monkeypatch):
    """Everything that is chosen comes from `on_validation`, which hands on training trials alone."""
    seen = []
    monkeypatch.setattr(equal_chances, "run", lambda sessions, *_: seen.extend(sessions) or [])
    equal_chances.on_validation([session], {("NER", ""): None})
    assert [s.digest for s in seen] == [session.split()[0].digest]
    monkeypatch.setattr(equal_chances, "run", None)
    monkeypatch.setattr(equal_chances, "on_validation", lambda sessions, _: sessions)
    assert equal_chances.search([session]) == [session]  # and runs nothing by itself


def test_equal_chances_fits_what_is_missing_and_drops_what_is_no_longer_chosen(equal_chances, monkeypatch):
    """One more candidate wins for NER with ten bins: its test scores go, and it alone is fitted again."""
    title, (old, new) = (
        "NER, 10 bins",
        [equal_chances.describe(s) for s in equal_chances.CANDIDATES["NER"][:2]],
    )
    about = dict.fromkeys(("velocity_r2", "position_r2", "direction_accuracy"), 0.5)
    kept = [{"method": title, "settings": old, "split": "validation"} | about]
    kept += [{"method": name, "settings": "", "split": "test"} for name in (title, "NER")]
    better = {"method": title, "settings": new, "split": "validation"} | dict.fromkeys(about, 0.6)
    monkeypatch.setattr(equal_chances, "kept_records", lambda _: list(kept))
    monkeypatch.setattr(equal_chances, "write", lambda _, records: kept.__setitem__(slice(None), records))
    asked, fitted = [], []
    monkeypatch.setattr(equal_chances, "search", lambda _, only, done: asked.append(done) or [better])
    monkeypatch.setattr(equal_chances, "run", lambda _, methods, seeds: fitted.append(methods) or [])
    equal_chances.choose([], ["NER"])
    assert asked == [{(title, old)}]
    assert [r["method"] for r in kept if r["split"] == "test"] == ["NER"]
    equal_chances.test([], ["NER"])
    (((name, method),),) = (methods.items() for methods in fitted)
    assert name == title and method.neuron_dropout == 0.3 and method.window == 10


@pytest.fixture(scope="module")
def best():
    return script("best")


def scored(best, score):
    """Stands in for `best.run`: every score of a method is a function of its settings, as text."""
    return lambda _, methods: [
        {"method": name, "session": "a", **dict.fromkeys(best.SCORES, score(name))} for name in methods
    ]


def test_the_search_of_best_sees_no_test_trial(best, session, monkeypatch):
    seen, kept, run = [], [], scored(best, lambda _: 0.5)
    monkeypatch.setattr(best, "opened", lambda *_: [session])
    monkeypatch.setattr(best, "kept_records", lambda _: list(kept))
    monkeypatch.setattr(best, "write", lambda records: kept.__setitem__(slice(None), records))
    monkeypatch.setattr(best, "run", lambda its, methods: seen.extend(its) or run(its, methods))
    best.choose()
    assert {s.digest for s in seen} == {session.split()[0].digest}
    scores = len(kept)
    best.choose(["ridge"])  # whose candidates all have scores by now
    assert len(kept) == scores and len({(r["method"], r["settings"]) for r in kept}) == scores

    titles = [f"{name}, {form}" for form, names in best.METHODS.items() for name in names]
    titles += [f"{name}, NER's label weights, {form}" for name in best.BOTTLENECKS for form in best.METHODS]
    monkeypatch.setattr(best, "run", lambda its, methods: [r | {"split": "test"} for r in run(its, methods)])
    best.test()
    assert sorted(r["method"] for r in kept[scores:]) == sorted(titles)
    best.test()
    assert len(kept) == scores + len(titles)  # a second call has nothing to fit
    best.choose(["ridge"])
    assert {r["method"] for r in kept[:] if r["split"] == "test"} == {t for t in titles if "ridge" not in t}
    best.choose(["NER"])  # whose weights and number of fits others take
    assert all(r["split"] == "validation" for r in kept)


def test_bottlenecks_have_as_many_candidates_as_ner_on_causal_rates(best):
    counts = {name: len(best.singles(name, "causal")) for name in best.NEAREST}
    assert counts["NER"] == counts["MSE bottleneck"] == counts[best.paper.FLAT] > counts["ridge"]
    weights = [s.get("weights") for s in best.singles("MSE bottleneck", "causal")]
    assert weights.count((1, 1, 0.25)) == weights.count((1, 1, 0.5)) == 1


def test_changes_that_help_are_made_together(best, session, monkeypatch):
    gains = {"window=20": 0.05, "neuron_dropout=0.5": 0.02, "temperature=0.4": 0.009, "n_components=4": 0.3}
    run = scored(best, lambda name: sum(gain for change, gain in gains.items() if change in name))
    monkeypatch.setattr(best, "opened", lambda *_: [session])
    monkeypatch.setattr(best, "run", run)

    def validated(settings):
        return best.on_validation("NER", "best", [(s, best.build("NER", s)) for s in settings])

    records = validated(best.singles("NER", "best"))
    (both,) = best.together("NER", "best", records)
    assert both == best.START["NER"] | {"window": 20, "neuron_dropout": 0.5}
    assert best.chosen("NER", "best", records + validated([both])) == both


@pytest.mark.parametrize("profile", ["best", "causal"])
def test_best_is_what_the_kept_validation_scores_choose(best, profile):
    records = json.loads(best.PATH.read_text())["records"]
    validated = [r for r in records if r["split"] == "validation"]
    chosen = best.chosen("NER", profile, validated)
    assert chosen["smooth_sd"] == 0.11  # s, as in `companion.paper`
    built = best.build("NER", chosen, best.n_members("NER", validated))
    assert repr(built.get_params()) == repr(paper.make_method("NER", profile).get_params())


def test_no_method_had_fewer_candidates_than_ner_but_those_that_choose_by_themselves(equal_chances):
    counts = {name: len(candidates) for name, candidates in equal_chances.CANDIDATES.items()}
    fewer = {name for name, count in counts.items() if count < counts["NER"]}
    assert fewer == {"PCA", "dPCA", "ridge"} and {counts[name] for name in fewer} == {1}
    assert counts["NER"] == counts["MSE bottleneck"] == counts[equal_chances.paper.FLAT] == 6


def test_the_published_settings_are_those_of_the_paper():
    records = json.loads(script("paper_settings").PATH.read_text())["records"]
    assert {"NER", "CEBRA"} <= {r["method"] for r in records}
    ner = paper.make_method("NER", "paper").get_params()
    assert (ner["max_iter"], ner["batch_size"], ner["learning_rate"]) == (20_000, 512, 1e-4)
    assert ner["periods"] == (None, None, 360.0) and ner["weight_averaging"] == 0


def test_each_fit_of_the_book_is_counted_once(tmp_path):
    run = {"session": "a", "area": "M1", "method": "NER", "seed": 1, "settings": "", "seconds": 2.0}
    chapters = {
        "03_x": [run | {"split": "train"}, run | {"split": "test"}, run | {"seed": 2, "seconds": 4.0}],
        "04_y": [run, {"curve": "library", "seconds": [1, 2]}, run | {"method": "PCA", "seconds": 0.5}],
    }
    for name, records in chapters.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"records": records}))
    found = script("book_time").fitting_seconds(tmp_path)
    assert found.T.to_dict() == {
        "NER": {"count": 2, "mean": 3.0, "sum": 6.0},
        "PCA": {"count": 1, "mean": 0.5, "sum": 0.5},
    }


@pytest.fixture(scope="module")
def new_day():
    return script("new_day")


def test_a_new_days_settings_see_neither_its_test_trials_nor_its_monkey(new_day):
    """Validation scores training trials; a monkey gets what the scores of the other monkeys choose."""
    session = make_session(n_trials=50)
    labelled, scored = new_day.parts(session, "validation")
    train, test = session.split()
    assert {*labelled.trial, *scored.trial} == {*train.trial} and not {*train.trial} & {*test.trial}
    first, second = new_day.CANDIDATES["alone"]
    record = {"split": "validation", "way": "alone", "method": "NER"}
    scores = {"Chewie": (0.9, 0.1), "Mihili": (0.2, 0.3)}
    records = [
        record | {"monkey": monkey, "settings": settings, "velocity_r2": r2}
        for monkey, both in scores.items()
        for settings, r2 in zip((first, second), both, strict=True)
    ]
    chosen = new_day.chosen(records)
    assert chosen["alone", "NER", "Chewie"] == second and chosen["alone", "NER", "Mihili"] == first
    assert chosen["rotation", "NER", "Chewie"] == second
    tested = [r | {"split": "test", "velocity_r2": -9} for r in records]
    assert new_day.chosen(records + tested) == chosen


def test_earlier_days_never_hold_the_movements_of_the_new_day(new_day):
    """The other area of the same day has them; other days of the same area are the monkey's own."""
    about = [("A1", "M1", "A"), ("A1", "PMd", "A"), ("A2", "M1", "A"), ("A2", "PMd", "A"), ("B1", "M1", "B")]
    sessions = [make_session(n_trials=8, name=n, area=a, monkey=m) for n, a, m in about]
    names = {
        kind: [(s.name, s.area) for s in new_day.pool(sessions, sessions[0], kind)]
        for kind in ("area", "all")
    }
    assert names == {"area": [("A2", "M1")], "all": [("A2", "M1"), ("A2", "PMd"), ("B1", "M1")]}


def test_larger_numbers_of_trials_hold_the_smaller_ones(new_day):
    session = make_session(n_trials=20)
    four, eight = ({*new_day.drawn(session, k, 1).trial} for k in (4, 8))
    assert len(four) == 4 and len(eight) == 8 and four < eight
    assert {*new_day.drawn(session, None, 1).trial} == {*session.trial}


@pytest.mark.parametrize("way", ["ridge", "joint", "alone", "rotation", "frozen"])
def test_every_way_decodes_a_new_day(new_day, way, monkeypatch):
    """Toy days whose rates hold the movement; a day has no more labelled trials than it has."""
    monkeypatch.setitem(new_day.BEYOND, "NER", {"max_iter": 300, "batch_size": 64})
    days = [
        make_session(name=f"Day{i}", seed=i, n_neurons=9 + i, date=f"2020010{i + 1}", n_trials=40)
        for i in (0, 1)
    ]
    settings: list | dict = {"neuron_dropout": 0.0}
    if way == "frozen":
        settings = [settings | {"max_iter": 100}]
    method = "ridge" if way == "ridge" else "NER"
    job = new_day.make_job(days[1], way, method, 2, "test", [(16, 0), (None, 0), (64, 0)], settings)
    records = new_day.scores(days, job)
    assert [(r["trials"], r["all"]) for r in records] == [(16, False), (32, True)]
    assert all(r["velocity_r2"] > 0.7 for r in records)


def test_kept_scores_of_a_new_day_are_of_the_chosen_settings(new_day):
    records = json.loads(new_day.PATH.read_text())["records"]
    chosen = new_day.chosen(records)
    networks = [r for r in records if r["split"] == "test" and r["way"] not in ("ridge", "template")]
    assert networks
    for r in networks:
        assert r["settings"] == chosen[r["way"], r["method"], r["monkey"]]


def test_the_average_reach_of_the_same_day_is_the_template_of_chapter_3(new_day, session):
    train, test = session.split()
    decoded = new_day.by_template([train], train, test, None)
    expected = {r["method"]: r["velocity_r2"] for r in templates.records([session])}
    r2 = r2_score(test.velocity, decoded)
    assert r2 == pytest.approx(expected["average reach, decoded direction"], abs=1e-9)
    one = new_day.by_template([train], train.select(slice(1)), test, None)  # a single target is all it knows
    assert len(np.unique(one.reshape(test.n_trials, -1), axis=0)) == 1


@pytest.fixture(scope="module")
def controls():
    return script("controls")


def test_the_plan_of_the_controls_has_each_job_once_and_the_base_first(controls, session):
    jobs = controls.plan([session, replace(session, name="Other")])
    assert len(jobs) == len(set(jobs)) and {job.kind for job in jobs} == set(controls.KINDS)
    assert jobs[0].method == "NER" and jobs[0].value == "none"
    seeds = [job.seed for job in jobs]
    assert seeds == sorted(seeds)  # all of the first seed before the second


def test_rows_of_controls_replace_their_like_and_finished_jobs_are_known(
    controls, session, tmp_path, monkeypatch
):
    monkeypatch.setattr(controls, "PATH", tmp_path / "controls.json")
    job = controls.plan([session])[0]
    about = {"table": job.table, "value": job.value, "method": job.method, "seed": job.seed}
    row = about | {"session": session.name, "area": session.area, "velocity_r2": 0.1}
    controls.write([session], {0: [row], 1: [row | {"method": "other"}]})
    controls.write([session], {0: [row | {"velocity_r2": 0.2}]})
    rows = json.loads(controls.PATH.read_text())["records"]
    assert sorted((r["method"], r["velocity_r2"]) for r in rows) == [("NER", 0.2), ("other", 0.1)]
    assert controls.is_done(job, controls.done(rows))
    assert not controls.is_done(job._replace(seed=1), controls.done(rows))


def test_relative_velocity_has_no_mean_in_any_direction_and_time_bin(session, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    single = script("single_trials")
    _, averages = session.average_by_direction(single.relative_velocity(session))
    assert abs(averages).max() < 1e-9
    labels = {form: single.training_labels(session, form) for form in single.LABELS["NER"]}
    assert (labels["velocity"] == session.labels).all()
    assert (labels["and relative, weight 1"][:, [2, 3, 4]] == labels["relative alone"]).all()


def test_a_calibrated_decoder_sees_trials_that_the_encoder_did_not(session, monkeypatch):
    """A stand-in remembers its training trials: none of the embedded ones is among them."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    single = script("single_trials")

    class Remembers(BaseEstimator):
        def fit(self, X, y, trial):
            self.seen_ = trial
            return self

        def transform(self, X, trial):
            return np.eye(3)[np.isin(trial, self.seen_).astype(int)]

    whole = np.tile(np.eye(3)[1], (len(session.rates), 1))
    found = single.cross_fitted(Remembers(), session, session.labels, whole)
    assert len(np.unique(found, axis=0)) == 1 and abs(found[0] @ whole[0]) < 0.5


def test_kept_labels_and_decoders_are_those_of_best(monkeypatch):
    """Nothing gained the hundredth that a change must gain, but for the calibration of ridge."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    single = script("single_trials")
    records = json.loads(single.PATH.read_text())["records"]
    assert len({(r["session"], r["area"]) for r in records}) == 17
    for name in ("NER", "MSE bottleneck"):
        assert single.chosen_labels(records, name) == "velocity"
        plain, calibrated = single.decoder_scores(records, name, 5)
        assert calibrated - plain < single.best.LEAST_GAIN
