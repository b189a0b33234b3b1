"""What single-trial scores take beyond `best`: labels relative to the average reach, calibrated decoders.

    python benchmarks/single_trials.py choose [--jobs 2]
    python benchmarks/single_trials.py test [--jobs 2]

Both start from what `best.py` chose for NER, the MSE bottleneck and ridge.
- Labels: the velocity relative to the training mean of the direction and time bin is added to the labels,
  with a weight for NER, or replaces velocity in them.
- Decoder: fitted on embeddings of trials that the encoder was not trained on. Each fifth of the training
  trials is embedded by a fit on the other four, rotated onto the embedding of the fit on all of them.
`choose` compares them on validation trials, the last fifth of the training trials; the rule is that of
`best.py`: the mean of four scores, and a gain of at least 0.01. `test` scores held-out trials with both
decoders and the labels that validation chose, of the methods that calibration does not set back.
Two hours on two cores. Writes book/reference/single_trials.json, which chapter 11 quotes.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

import best
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.linalg import orthogonal_procrustes
from sklearn.base import clone

from companion import results
from companion.catalogue import cache_folder, open_sessions
from nerlib import runs

PATH = best.PATH.with_name("single_trials.json")
FOLDS = 5
WEIGHTS = (0.5, 1.0, 2.0)  # of relative velocity
LABELS = {
    "NER": ["velocity", "relative alone", *(f"and relative, weight {w:g}" for w in WEIGHTS)],
    "MSE bottleneck": ["velocity", "relative alone", "and relative, weight 1"],
    "ridge": ["velocity"],
}
DECODERS = ("fitted on training trials", "calibrated")


def relative_velocity(session):
    """Velocity less the mean of its direction and time bin: array (T, 2), mm/s; later bins keep the last."""
    directions, averages = session.average_by_direction(session.velocity)
    bins = np.minimum(session.bin_in_trial, averages.shape[1] - 1)
    return session.velocity - averages[np.searchsorted(directions, session.direction), bins]


def training_labels(session, form):
    """Label columns (T, k) of a form in `LABELS`."""
    if form == "velocity":
        return session.labels
    relative = relative_velocity(session)
    if form == "relative alone":
        return np.column_stack([relative, session.direction])
    return np.column_stack([session.velocity, relative, session.direction])


def build(name, settings, form, members):
    """An estimator for labels of this form."""
    changed = {}
    if form.startswith("and relative"):
        weight = float(form.rpartition(" ")[2])
        changed["periods"] = (None, None, None, None, 360.0)
        if name == "NER":
            x, y, direction = settings["weights"]
            changed["weights"] = (x, y, weight, weight, direction)
    return best.build(name, settings | changed, members)


def cross_fitted(model, train, labels, whole):
    """The embedding of each fifth of the trials by a fit on the others, rotated onto ``whole`` (T, d)."""
    fold = np.repeat(np.arange(train.n_trials) * FOLDS // train.n_trials, train.trial_lengths)
    embedding = np.empty_like(whole)
    for left_out in range(FOLDS):
        kept = fold != left_out
        fitted = clone(model).fit(train.rates[kept], labels[kept], train.trial[kept])
        found = fitted.transform(train.rates, train.trial)
        rotation = orthogonal_procrustes(found[kept], whole[kept])[0]
        embedding[~kept] = (found @ rotation)[~kept]
    return embedding


def scores(session, name, settings, form, members, calibrate):
    """Records of one session: velocity, position, direction and single-trial scores of its last fifth."""
    job = runs.make_job(session, name, build(name, settings, form, members), best.SEED)
    (train, test), labels = session.split(), training_labels(session.split()[0], form)
    whole = job.model.fit(train.rates, labels, train.trial)
    parts = {
        "train": whole.transform(train.rates, train.trial),
        "test": whole.transform(test.rates, test.trial),
    }
    tried = {DECODERS[0]: parts}
    if calibrate:
        tried[DECODERS[1]] = parts | {"train": cross_fitted(job.model, train, labels, parts["train"])}
    records = []
    for decoder, embedded in tried.items():
        run = runs.as_run(job, {"corrected": embedded, "published": embedded, "seconds": 0.0})
        rows = [r for r in runs.score_run(run) if [r["split"], r["protocol"]] == ["test", "corrected"]]
        about = {"labels": form, "decoder": decoder, "members": members}
        kept = ("session", "area", "monkey", "method", "seed", *best.SCORES, "single_trial_correlation")
        records += [{key: row[key] for key in kept} | about for row in rows]
    return records


def chosen_settings():
    """name -> the settings of `best` and the number of fits that are averaged, from the kept validation."""
    records = [r for r in json.loads(best.PATH.read_text())["records"] if r["split"] == "validation"]
    return {
        name: (best.chosen(name, "best", records), best.n_members(name, records)) for name in best.NEAREST
    }


def mean_scores(records, name, by):
    """The mean of the four validation scores, by a column."""
    table = pd.DataFrame(records).query("method == @name and split == 'validation'")
    return table[best.SCORES].mean(axis=1).groupby(table[by]).mean()


def chosen_labels(records, name):
    """The labels with the best validation score; those of `best` unless others gain `best.LEAST_GAIN`."""
    score = mean_scores(
        [r for r in records if r["members"] == 1 and r["decoder"] == DECODERS[0]], name, "labels"
    )
    return score.idxmax() if score.max() - score["velocity"] > best.LEAST_GAIN else "velocity"


def decoder_scores(records, name, members):
    """The mean of the four validation scores with each of `DECODERS`."""
    alike = [r for r in records if [r["labels"], r["members"]] == ["velocity", members]]
    return mean_scores(alike, name, "decoder")[list(DECODERS)]


def compute(split, asked, n_jobs):
    """Records of (name, labels, members, calibrate) in ``asked`` for all recordings."""
    settled, tasks = chosen_settings(), []
    for name, form, members, calibrate in asked:
        settings = settled[name][0]
        for session in best.opened(best.SMOOTHING["best"], settings["smooth_sd"]):
            # On validation, no test trial goes further than this line.
            part = session.split()[0] if split == "validation" else session
            tasks.append((part, name, settings, form, members, calibrate))
    memory = runs.cached(cache_folder() / "runs")
    keys = [("single_trials", s.digest, *map(str, rest), runs.source_digest()) for s, *rest in tasks]
    calls = (delayed(memory)(key, scores, task) for key, task in zip(keys, tasks, strict=True))
    found = Parallel(n_jobs=n_jobs)(calls)
    return [record | {"split": split} for rows in found for record in rows]


def write(records):
    recordings = open_sessions("recorded")[0]
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=[best.SEED], records=records)


def choose(n_jobs):
    asked = [(name, form, 1, False) for name, forms in LABELS.items() if len(forms) > 1 for form in forms]
    records = compute("validation", asked, n_jobs)
    asked = [(name, "velocity", members, True) for name, (_, members) in chosen_settings().items()]
    records += compute("validation", asked, n_jobs)
    write(records)


def test(n_jobs):
    """Scores on test trials, kept method by method."""
    records = [r for r in json.loads(PATH.read_text())["records"] if r["split"] == "validation"]
    for name, (_, members) in chosen_settings().items():
        plain, calibrated = decoder_scores(records, name, members)
        if calibrated < plain:
            continue
        forms = dict.fromkeys(("velocity", chosen_labels(records, name)))
        asked = [(name, form, members, form == "velocity") for form in forms]
        records += compute("test", asked, n_jobs)
        write(records)


if __name__ == "__main__":
    import single_trials  # under its name, so that other processes find its functions

    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("what", choices=("choose", "test"))
    asked.add_argument("--jobs", type=int, default=1, help="processes")
    given = asked.parse_args()
    getattr(single_trials, given.what)(given.jobs)
