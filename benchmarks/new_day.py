"""A new day with few labelled trials: who decodes the rest of it best (chapter *A new day with few trials*).

    python benchmarks/new_day.py run [--jobs 2] [--seconds 3600]    # again, to go on where it stopped
    python benchmarks/new_day.py collect                            # writes book/reference/new_day.json

Every recording is the new day once. K of its training trials are labelled; its test trials, the last 20 %,
are decoded. "Earlier days" are the monkey's other days in the same area, before or after (pool "area"), or
all recordings of all monkeys on other days (pool "all"); never the other area of the same day, which shares
its movements.

Settings are chosen without the tested day, nor any day of its monkey: candidates are scored on validation
trials (the last fifth of training trials), one recording of each session, with pool "area". So all data in
a score are of one monkey, and a monkey gets what the scores of the other monkeys choose (`chosen`).

Finished jobs are lines of a log, so a run can be stopped at any time; delete the log when training changes.
Where pynwb is absent, `pack FILE` elsewhere writes the sessions for ``--sessions FILE``.
"""

import argparse
import json
import os
import sys
import time
import warnings
from functools import cache
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))
os.environ["OMP_NUM_THREADS"] = "1"  # one thread a process, in the linear algebra as well
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from joblib import hash as content_hash
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score

from companion.templates import mean_rates
from nerlib import Session
from nerlib.alignment import align, common_averages
from nerlib.encoders import Encoder
from nerlib.models import make_method

ROOT = Path(__file__).resolve().parent.parent
PATH = ROOT / "book" / "reference" / "new_day.json"
SEED, MEMBERS = 42, 3
DRAWS = {1: 2, 2: 2, 4: 2, 8: 3, 16: 3, 32: 2, 64: 1, None: 1}  # labelled trials (None: all) -> draws
TUNED_ON = {"frozen": (8, 32), "joint": (16,), "alone": (16,)}
NETWORKS = ("NER", "MSE bottleneck", "CEBRA-velocity")
COMMON = {"periods": (None, None, 360.0), "neuron_dropout": 0.3, "device": "cpu"}
_FITTED: dict = {}
BEYOND = {  # with history: what equal_chances.py found good on other questions
    "NER": {"temperature": 0.25, "learning_rate": 6e-3},
    "MSE bottleneck": {"batch_size": 256},
    "CEBRA-velocity": {"temperature": 0.25},
}
CANDIDATES: dict[str, list[dict]] = {
    "frozen": [{"neuron_dropout": d, "max_iter": n} for d in (0.3, 0.5) for n in (100, 300)],
    "alone": [{"neuron_dropout": 0.3}, {"neuron_dropout": 0.5}],
    "joint": [{"neuron_dropout": 0.3}, {"neuron_dropout": 0.5}],
}
# Other forms of the networks of earlier days, tried with every candidate. A session's first layer maps a
# bin's neurons to 16 signals, the same way in each bin of history (`ReadIn`); "whole": all bins to 32 units.
# Direction may count half in the labels (CEBRA-velocity has none of it); the bottleneck may leave the sphere.
WHOLE, HALF, FLAT = {"first_layer": "whole"}, {"weights": [1, 1, 0.5]}, {"sphere": False}
TRIED = {"NER": [HALF], "MSE bottleneck": [HALF, FLAT, FLAT | HALF], "CEBRA-velocity": []}
FORMS: dict[str, list[dict]] = {name: [WHOLE] for name in NETWORKS}
FORMS["MSE bottleneck"].append({"batch_size": 128})
for name, forms in TRIED.items():
    FORMS[name] += forms + [WHOLE | form for form in forms]
OF_FORM = ("first_layer", "batch_size", "weights", "sphere")
# The day alone, again: "alone" is what joint training is compared with, in the same form; "alone, any form"
# is the best that a network makes of a day.
ANY = "alone, any form"
ANY_FORM: dict[str, list[dict]] = {
    "NER": [settings | form for settings in CANDIDATES["alone"] for form in ({}, HALF)],
    "MSE bottleneck": [
        settings | form | sphere
        for settings in CANDIDATES["alone"]
        for form in ({}, HALF)
        for sphere in ({}, FLAT)
    ],
}


def build(method, window, first_layer=None, **settings):
    """An unfitted network; 30 % of neurons dropped unless settings say otherwise."""
    built = make_method(method, **COMMON | BEYOND[method] | {"window": window} | settings)
    if first_layer == "whole":
        sphere = getattr(built, "sphere", True)
        built._make_encoder = lambda n, _: Encoder(n * window, built.n_components, sphere=sphere)
    return built


def parts(session, split):
    """The trials that may be labelled, and those that are scored. Validation never sees a test trial."""
    train, test = session.split()
    return train.split() if split == "validation" else (train, test)


def pool(sessions, target, kind):
    """The recordings of earlier days; with "area", only those of the same monkey and area."""
    others = [s for s in sessions if s.name != target.name]
    return (
        others if kind == "all" else [s for s in others if (s.monkey, s.area) == (target.monkey, target.area)]
    )


def drawn(labelled, k, draw):
    """K trials at random, in time order; the first ones of a draw are in all larger K of that draw."""
    order = np.random.default_rng(draw).permutation(labelled.n_trials)
    return labelled.select(order[:k])


def arrays(sessions):
    return [[getattr(s, name) for s in sessions] for name in ("rates", "labels", "trial")]


def decoder(embeddings, sessions):
    """Linear regression to velocity in which every session weighs the same."""
    weights = np.concatenate([np.full(len(z), 1 / len(z)) for z in embeddings])
    velocity = np.concatenate([s.velocity for s in sessions])
    return LinearRegression().fit(np.concatenate(embeddings), velocity, sample_weight=weights)


def decode(model, earlier, known, scored, number):
    """Velocity of the scored trials, by a decoder of the earlier days and the K trials."""
    embeddings = model.transform([s.rates for s in earlier], [s.trial for s in earlier])
    embeddings.append(model.transform(known.rates, known.trial, session=number))
    read = decoder(embeddings, [*earlier, known])
    return read.predict(model.transform(scored.rates, scored.trial, session=number))


def by_ridge(_, known, scored, job):
    """Ridge on K trials; of a single trial, the penalty is chosen over its bins."""
    trial = None if known.n_trials == 1 else known.trial
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no trial ids: it is one trial
        ridge = make_method("ridge", window=job["window"]).fit(known.rates, known.velocity, trial)
    columns = np.stack([known.velocity.mean(axis=0), known.velocity.std(axis=0)])
    return ridge.transform(scored.rates, scored.trial) * columns[1] + columns[0]


def by_joint(earlier, known, scored, job):
    sessions = [*earlier, known]
    model = build(job["method"], job["window"], random_state=SEED, **job["settings"]).fit(*arrays(sessions))
    return decode(model, earlier, known, scored, len(earlier))


def fit_alone(session, job):
    model = build(job["method"], job["window"], random_state=SEED, **job["settings"])
    return model.fit(session.rates, session.labels, session.trial)


def fit_once(session, job):
    """`fit_alone`, remembered within the process."""
    name = content_hash([session.digest, job["method"], job["window"], job["settings"]])
    if name not in _FITTED:
        _FITTED[name] = fit_alone(session, job)
    return _FITTED[name]


def by_alone(_, known, scored, job):
    model = fit_alone(known, job)
    embedding = model.transform(known.rates, known.trial)
    return decoder([embedding], [known]).predict(model.transform(scored.rates, scored.trial))


def by_rotation(earlier, known, scored, job):
    """The session alone, its trial averages rotated onto those of the nearest day, whose decoder it gets."""
    other = min(earlier, key=lambda s: abs(pd.Timestamp(s.date) - pd.Timestamp(known.date)))
    own, its = fit_alone(known, job), fit_once(other, job)
    there, here = its.transform(other.rates, other.trial), own.transform(known.rates, known.trial)
    rotation = align(here, there, known, other)
    return decoder([there], [other]).predict(own.transform(scored.rates, scored.trial) @ rotation)


def by_template(earlier, known, scored, job):
    """The earlier days' average reach to one target a trial, decoded from its mean rates by the K trials."""
    directions, *averages = common_averages([s.velocity for s in earlier], earlier)
    targets = known.direction[known.trial_starts]
    decoded = np.full(scored.n_trials, targets[0])
    if len(set(targets)) > 1:  # else there is nothing to tell apart
        classes = LogisticRegression(max_iter=1000).fit(mean_rates(known), targets)
        decoded = classes.predict(mean_rates(scored))
    played = np.mean(averages, axis=0)[np.searchsorted(directions, decoded)]
    trials = np.repeat(np.arange(scored.n_trials), scored.trial_lengths)
    return played[trials, np.minimum(scored.bin_in_trial, played.shape[1] - 1)]


BY = {
    "ridge": by_ridge,
    "template": by_template,
    "joint": by_joint,
    "alone": by_alone,
    ANY: by_alone,
    "rotation": by_rotation,
}


def cells(target, job):
    """(K, draw, trials to label, trials to score) of a job; K beyond the day's trials are left out."""
    labelled, scored = parts(target, job["split"])
    for k, draw in job["cells"]:
        if k is None or k <= labelled.n_trials:
            yield k, draw, drawn(labelled, k, draw), scored


def scores(sessions, job):
    """Records of a job: velocity R² of one recording's scored trials for some K and draws."""
    target = next(s for s in sessions if [s.name, s.area] == job["target"])
    earlier = pool(sessions, target, job["pool"])
    if job["way"] == "frozen":
        return list(frozen_scores(earlier, target, job))
    return [
        record(target, job, k, draw, known, scored, [BY[job["way"]](earlier, known, scored, job)])
        for k, draw, known, scored in cells(target, job)
    ]


def frozen_scores(earlier, target, job):
    """Networks of the earlier days, fitted once; then a first layer for each K and draw.

    All settings of the job have the same form.
    """
    form = {name: value for name, value in job["settings"][0].items() if name in OF_FORM}
    seeds = range(SEED, SEED + job["members"])
    members = [build(job["method"], job["window"], random_state=seed, **form) for seed in seeds]
    for model in members:
        model.fit(*arrays(earlier))
    for settings in job["settings"]:
        steps = settings["max_iter"]
        for k, draw, known, scored in cells(target, job):
            decoded = []
            for model in members:
                model.set_params(neuron_dropout=settings["neuron_dropout"])
                new = model.add_session(known.rates, known.labels, known.trial, max_iter=steps)
                decoded.append(decode(model, earlier, known, scored, new))
                del model.encoders_[new:]
            for count in {1, len(members)}:
                about = job | {"settings": settings, "members": count}
                yield record(target, about, k, draw, known, scored, decoded[:count])


def record(target, job, k, draw, known, scored, decoded):
    kept = {name: job[name] for name in ("way", "method", "window", "pool", "split", "members", "settings")}
    about = {"session": target.name, "area": target.area, "monkey": target.monkey}
    counts = {"all": k is None, "trials": known.n_trials, "draw": draw}
    r2 = r2_score(scored.velocity, np.mean(decoded, axis=0))
    return about | kept | counts | {"velocity_r2": round(float(r2), 5)}


def make_job(target, way, method, window, split, cells, settings, *, pool="area", members=1):
    about = {"target": [target.name, target.area], "way": way, "method": method, "window": window}
    return about | {"split": split, "cells": cells, "settings": settings, "pool": pool, "members": members}


def validation_jobs(sessions):
    """All candidates of all ways, on validation trials."""
    for way, method in ((way, method) for way in CANDIDATES for method in NETWORKS):
        tuned, settings = [(k, 0) for k in TUNED_ON[way]], CANDIDATES[way]
        for s in (s for s in sessions if s.area != "PMd"):
            for tried in [settings] if way == "frozen" else settings:
                yield make_job(s, way, method, 10, "validation", tuned, tried)
    tuned = [(k, 0) for k in TUNED_ON["frozen"]]
    for method, form in ((method, form) for method, forms in FORMS.items() for form in forms):
        for s in (s for s in sessions if s.area != "PMd"):
            settings = [candidate | form for candidate in CANDIDATES["frozen"]]
            yield make_job(s, "frozen", method, 10, "validation", tuned, settings)
    for method, settings in ANY_FORM.items():
        for s in (s for s in sessions if s.area != "PMd"):
            for tried in settings:
                yield make_job(s, ANY, method, 10, "validation", [(16, 0)], tried)


def chosen(records):
    """(way, method, monkey) -> the candidate with the best mean validation score on *other* monkeys.

    The first candidate where there are no scores. One-bin networks take what is chosen with ten bins, and
    the rotation what is chosen for the session alone.
    """
    tried = [r | {"settings": json.dumps(r["settings"])} for r in records if r["split"] == "validation"]
    columns = ["way", "method", "monkey", "settings", "velocity_r2"]
    table, found = pd.DataFrame(tried, columns=columns), {}
    first = {(way, method): CANDIDATES[way][0] for way in CANDIDATES for method in NETWORKS}
    first |= {(ANY, method): settings[0] for method, settings in ANY_FORM.items()}
    for (way, method), default in first.items():
        own = table[(table["way"] == way) & (table["method"] == method)]
        for monkey in ("Chewie", "Mihili", "Han"):
            others = own[own["monkey"] != monkey].groupby("settings")["velocity_r2"].mean()
            best = json.loads(others.idxmax()) if len(others) else default
            found[way, method, monkey] = best
    return found | {("rotation", *key): found["alone", *key] for _, *key in found}


def test_jobs(sessions, records):
    """All comparisons on test trials, the most quoted ones first."""
    every = [(k, draw) for k, draws in DRAWS.items() for draw in range(draws)]
    first, rest = [c for c in every if not c[1]], [c for c in every if c[1]]
    settled = chosen(records)
    for window in (10, 1):
        yield from (make_job(s, "ridge", "ridge", window, "test", every, {}) for s in sessions)
    yield from (make_job(s, "template", "average reach", 10, "test", every, {}) for s in sessions)

    def jobs(way, method, window, asked, **more):
        once = way in ("frozen", "rotation")  # a fit that serves all numbers of trials
        for cell in [asked] if once else [[cell] for cell in asked[::-1]]:
            for s in sessions:
                settings = settled[way, method, s.monkey]
                settings = [settings] if way == "frozen" else settings
                yield make_job(s, way, method, window, "test", cell, settings, **more)

    for method in ("NER", "MSE bottleneck"):
        yield from jobs("frozen", method, 10, every, members=MEMBERS)
    for method in ANY_FORM:
        yield from jobs(ANY, method, 10, first)
    for method in NETWORKS:
        for way in ("alone", "joint"):
            yield from jobs(way, method, 10, first)
    yield from jobs("frozen", "CEBRA-velocity", 10, every, members=MEMBERS)
    yield from jobs("rotation", "NER", 10, first)
    for method in NETWORKS:
        yield from jobs("frozen", method, 1, first)
    for method in NETWORKS:
        yield from jobs("frozen", method, 10, first, pool="all")
    for way in ("joint", "alone"):
        for method in NETWORKS:
            yield from jobs(way, method, 1, first)
    for way in ("joint", "alone"):
        yield from jobs(way, "NER", 10, rest)


def key(sessions, job):
    return content_hash([json.dumps(job), [s.digest for s in sessions], json.dumps([COMMON, BEYOND])])


def work(packed, job, name):
    """A job's records; each process opens the sessions once."""
    torch.set_num_threads(1)
    sessions = open_all(packed)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = scores(sessions, job)
    return {"key": name, "seconds": round(time.process_time() - start, 2), "records": found}


def read_log(log):
    """key -> finished job; a line that was cut off counts as not finished."""
    done = {}
    for line in log.read_text().splitlines() if log.is_file() else []:
        try:
            job = json.loads(line)
            done[job["key"]] = job
        except json.JSONDecodeError:
            continue
    return done


def run(packed, log, n_jobs, until):
    """Do what is not done yet, until a time; first what settings depend on. True when all is done."""
    sessions = open_all(packed)
    for stage in ("validation", "test"):
        done = read_log(log)
        records = [r for job in done.values() for r in job["records"]]
        jobs = validation_jobs(sessions) if stage == "validation" else test_jobs(sessions, records)
        named = {key(sessions, job): job for job in jobs}
        missing = {name: job for name, job in named.items() if name not in done}
        print(f"{stage}: {len(missing)} of {len(named)} jobs to do", flush=True)
        # A generator: nothing is handed out after the time is up.
        tasks = (delayed(work)(packed, job, name) for name, job in missing.items() if time.time() < until)
        pool_ = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch=n_jobs, batch_size=1)
        with log.open("a") as file:
            for finished in pool_(tasks):
                print(json.dumps(finished), file=file, flush=True)
        if time.time() >= until:
            return False
    return True


def collect(sessions, log, ran_on=None):
    """Write the records of the log that belong to these sessions and this code.

    ``ran_on`` says where most of the log was made, if that was another machine than the one that collects it.
    """
    from companion import results

    done = read_log(log)
    records = [r for job in done.values() for r in job["records"]]
    asked = [*validation_jobs(sessions), *test_jobs(sessions, records)]
    names = dict.fromkeys(key(sessions, job) for job in asked)  # once each
    kept = [done[name] for name in names if name in done]
    print(f"{len(kept)} of {len(names)} jobs, {sum(j['seconds'] for j in kept):.0f} s of processor time")
    records, settled = [r for job in kept for r in job["records"]], chosen(records)
    for r in records:
        if r["split"] == "validation":
            r["chosen"] = r["settings"] == settled[r["way"], r["method"], r["monkey"]]
    content = results.write_results(PATH, sessions=sessions, profile="fast", seeds=[SEED], records=records)
    if ran_on:
        content["provenance"]["device"] = ran_on
        results.write_json(PATH, content)


def pack(sessions, path):
    """Sessions as one file that NumPy alone can read."""
    held = {
        f"{i}.{f}": getattr(s, f)
        for i, s in enumerate(sessions)
        for f in ("rates", "velocity", "direction", "trial")
    }
    about = [{f: getattr(s, f) for f in ("bin_width", "name", "area", "monkey", "date")} for s in sessions]
    np.savez_compressed(path, about=json.dumps(about), **held)


@cache
def open_all(packed=None):
    """The recordings that come with the book, or those that `pack` wrote."""
    if packed is None:
        from companion.catalogue import RECORDINGS, open_sessions

        return open_sessions("recorded", sorted(path.stem for path in RECORDINGS.glob("*.nwb")))[0]
    with np.load(packed, allow_pickle=False) as file:
        return [
            Session(*(file[f"{i}.{f}"] for f in ("rates", "velocity", "direction", "trial")), **about)
            for i, about in enumerate(json.loads(str(file["about"])))
        ]


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("what", choices=("run", "collect", "pack"))
    asked.add_argument("file", nargs="?", help="for pack")
    asked.add_argument("--jobs", type=int, default=1, help="processes")
    asked.add_argument("--seconds", type=float, default=float("inf"), help="start no job after so long")
    asked.add_argument("--log", type=Path, help="finished jobs; default: in the cache folder")
    asked.add_argument("--ran-on", help="for collect: the machine and versions that made the log")
    asked.add_argument("--sessions", help="file that pack wrote")
    given = asked.parse_args()
    if given.what == "pack":
        return pack(open_all(), given.file)
    log = given.log
    if log is None:
        from companion.catalogue import cache_folder

        log = cache_folder() / "new_day.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    if given.what == "collect":
        return collect(open_all(given.sessions), log, given.ran_on)
    run(given.sessions, log, given.jobs, time.time() + given.seconds)


if __name__ == "__main__":
    import new_day  # under its name, so that other processes find its functions, and keep what they cache

    new_day.main()
