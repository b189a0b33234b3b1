"""Held-out scores of one recording with intervals over its trials; what more would bring; files to take away.

With one recording there are no sessions to draw from. A draw takes as many held-out trials as there are, with
replacement, and every score is computed anew; the draws are the same for all methods, so that differences are
paired. Such intervals say how sure a score is for this recording, and nothing about another day or animal.
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from companion import interactive
from companion.comparison import METRICS
from companion.intervals import LEVEL, number
from companion.own_folds import Fit, longest
from companion.own_recording import colored
from nerlib import metrics, plots
from nerlib.session import Session

SCORES = METRICS | {"single_trial_correlation": "single trials, correlation"}
_DRAWS = 2000


def draws(session: Session, fits: list[Fit]) -> dict[str, np.ndarray]:
    """Every score of one method over its blocks of held-out trials, and how it varies over draws of trials.

    Returns a dict: key of `SCORES` -> array (1 + 2000,), the score first, then those of the draws. Without
    directions, the first two scores alone. The last is the correlation of what is left of decoded and true
    velocity when the average of each direction and time bin in the block is removed
    (`nerlib.metrics.single_trial`).

    Parameters
    ----------
    session : Session that the method was fitted to
    fits : list of Fit, one a block
    """
    blocks = [_sums(session.select(one.held), one) for one in fits]
    sums = {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}
    n_trials = len(sums["velocity_r2"])
    drawn = np.random.default_rng(0).multinomial(n_trials, np.full(n_trials, 1 / n_trials), size=_DRAWS)
    weights = np.vstack([np.ones(n_trials), drawn])
    found = {key: _r2(np.tensordot(weights, sums[key], 1)) for key in ("velocity_r2", "position_r2")}
    if "direction_accuracy" in sums:
        found["direction_accuracy"] = weights @ sums["direction_accuracy"] / n_trials
        product, true, decoded = np.tensordot(weights, sums["single_trial_correlation"], 1).swapaxes(0, 1)
        scale = np.sqrt(true * decoded)
        found["single_trial_correlation"] = _ratio(product, scale).mean(axis=1)
    return found


def _sums(test, one):
    """What each trial adds to the scores: score -> array (n_trials, ...)."""
    decoded = {"velocity_r2": one.velocity, "position_r2": metrics.position(one.velocity, test)}
    true = {"velocity_r2": test.velocity, "position_r2": metrics.position(test.velocity, test)}

    def per_trial(values):
        return np.add.reduceat(values, test.trial_starts, axis=0, dtype=np.float64)

    found = {}
    for key, its in true.items():
        parts = (np.ones_like(its), its, its**2, (its - decoded[key]) ** 2)
        found[key] = np.stack([per_trial(part) for part in parts], axis=1)
    if one.direction is not None:
        bins = test.trial_starts + np.minimum(one.peak_bin, test.trial_lengths - 1)
        found["direction_accuracy"] = (one.direction == test.direction)[bins].astype(float)
        rest_true, rest = (_beyond_average(values, test) for values in (test.velocity, one.velocity))
        parts = (rest_true * rest, rest_true**2, rest**2)
        found["single_trial_correlation"] = np.stack([per_trial(part) for part in parts], axis=1)
    return found


def _beyond_average(values, session):
    """Values less the average of their direction and time bin; 0 beyond the shortest trial."""
    directions, averages = session.average_by_direction(values)
    kept = session.bin_in_trial < averages.shape[1]
    which = np.searchsorted(directions, session.direction[kept])
    rest = np.zeros(values.shape)
    rest[kept] = values[kept] - averages[which, session.bin_in_trial[kept]]
    return rest


def _r2(sums):
    """R², averaged over columns, from sums (draws, 4, k) of 1, y, y² and squared errors."""
    count, total, square, error = sums.swapaxes(0, 1)
    variance = square - total**2 / count
    return np.where(variance > 1e-9 * square, 1 - _ratio(error, variance), 0.0).mean(axis=1)


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _interval(values):
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"score": float(values[0]), "low": float(low), "high": float(high)}


def table(session: Session, fits: list[Fit]) -> pd.DataFrame:
    """Scores of all methods with their 95 % intervals over held-out trials.

    Returns a DataFrame, one row a method (`Fit.name`) and score: method, metric, score, low, high,
    train_trials (mean over blocks), test_trials, blocks.
    """
    rows = []
    for name, its in _by_name(fits).items():
        about = {
            "method": name,
            "train_trials": float(np.mean([one.n_train for one in its])),
            "test_trials": int(sum(one.held.sum() for one in its)),
            "blocks": len(its),
        }
        found = draws(session, its)
        rows += [about | {"metric": metric} | _interval(values) for metric, values in found.items()]
    return pd.DataFrame(rows)


def gain(session: Session, fits: list[Fit], other: list[Fit]) -> dict:
    """By how much the first fits exceed the others in R² of velocity on the same trials: score, low, high.

    Raises ValueError where other trials were held out.
    """
    if not np.array_equal([one.held for one in fits], [one.held for one in other]):
        raise ValueError(f"{fits[0].name} and {other[0].name} were scored on different trials")
    return _interval(draws(session, fits)["velocity_r2"] - draws(session, other)["velocity_r2"])


def gains(session: Session, fits: list[Fit], fewer: list[Fit]) -> pd.DataFrame:
    """What history, the first method and more trials bring, as differences of the R² of velocity.

    Returns a DataFrame: change (text), score (the difference), low, high.

    Parameters
    ----------
    session, fits : as in `table`
    fewer : list of Fit, on a part of the training trials, of some of the methods and the first block
    """
    named = _by_name(fits)
    best = longest(named)
    pairs = [(a, b) for a in best for b in named if _kind(a) == _kind(b) and a != b]
    pairs += [(best[0], b) for b in best[1:]]
    rows = [{"change": f"{a} instead of {b}", **gain(session, named[a], named[b])} for a, b in pairs]
    for one in fewer:
        full = named[one.name][0]
        change = f"{one.name}: {full.n_train} training trials instead of {one.n_train}"
        rows.append({"change": change, **gain(session, [full], [one])})
    return pd.DataFrame(rows)


def advice(gains: pd.DataFrame, name: str) -> str:
    """What `gains` say about the method ``name`` against the others and about more trials, as Markdown."""
    lines, grown = [], False
    for row in gains.to_dict("records"):
        verdict = "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "level"
        first, _, other = row["change"].partition(" instead of ")
        told = in_words(row, "+")
        if first == name and _kind(other) != _kind(name):
            how = "about as well as" if verdict == "level" else f"{verdict} than"
            lines.append(f"- {name} decodes velocity {how} {other} here ({told}).")
        elif row["change"].startswith(f"{name}: ") and not grown:  # the first is from half of the trials
            grown = True
            more = "more trials of this kind promise little."
            if verdict == "better":
                more = "a doubling usually brings less than the one before, so expect less of the next one."
            lines.append(f"- {row['change']} changed R² of velocity by {told}: {more}")
    return "\n".join(lines)


def _kind(name):
    return name.partition(",")[0]


def _by_name(fits):
    return {name: [one for one in fits if one.name == name] for name in dict.fromkeys(f.name for f in fits)}


def in_words(row: dict | pd.Series, sign: str = "") -> str:
    """ "0.83 [0.80, 0.85]"; with ``sign`` "+", "+0.03 [+0.01, +0.05]"."""
    return number(row["score"], row["low"], row["high"], digits=2, sign=sign)


def wide(scores: pd.DataFrame) -> pd.DataFrame:
    """`table` in words: one row a method, one column a score."""
    told = scores.assign(told=[in_words(row) for row in scores.to_dict("records")])
    cells = told.pivot(index="method", columns="metric", values="told")
    columns = {key: name for key, name in SCORES.items() if key in cells}
    return cells.loc[list(dict.fromkeys(scores["method"])), list(columns)].rename(columns=columns)


def consistency(session: Session, fits: list[Fit]) -> pd.DataFrame:
    """How alike a method's embeddings are that were fitted without different blocks of trials.

    Two embeddings of the trials of both blocks, each trial seen in training by one of the two fits, are laid
    over each other by Procrustes analysis (`nerlib.metrics.consistency`). Returns a DataFrame, one row a
    method: method, pairs, mean and lowest consistency (R²: 1 the same shape, 0 none).
    """
    rows = []
    for name, its in _by_name(fits).items():
        found = []
        for i, one in enumerate(its):
            for other in its[:i]:
                bins = np.repeat(one.held | other.held, session.trial_lengths)
                found.append(metrics.consistency(one.embedding[None, bins], other.embedding[None, bins]))
        if found:
            rows.append({"method": name, "pairs": len(found), "mean": np.mean(found), "lowest": min(found)})
    return pd.DataFrame(rows)


def take_away(
    folder: str | Path, session: Session, one: Fit, scores: pd.DataFrame, units: pd.DataFrame
) -> list[Path]:
    """Write what a reader takes home: tables (CSV), the embedding's figure (PDF and HTML) and the model.

    Returns a list of the files: embedding.csv, scores.csv, units.csv, embedding.pdf, embedding.html,
    model.safetensors.

    Parameters
    ----------
    folder : created if it is not there
    session : Session
    one : Fit whose embedding and model are written; a model without ``save`` (as PCA's) is not
    scores : DataFrame of `table`
    units : DataFrame of `own_recording.check_units`, which tells the units that the model expects
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    held = one.held_bins(session)
    columns: dict[str, Any] = {
        "trial": session.trial,
        "time_s": session.bin_in_trial * session.bin_width,
        "split": np.where(held, "held out", "train"),
    }
    if session.direction is not None:
        columns["direction_deg"] = session.direction
    decoded = np.full(session.velocity.shape, np.nan)
    decoded[held] = one.velocity
    axes = plots.column_names(session.velocity)
    for values, name in ((session.velocity, "velocity_{}_mm_s"), (decoded, "decoded_{}_mm_s")):
        columns |= {name.format(axis): values[:, k] for k, axis in enumerate(axes)}
    columns |= {f"z{k + 1}": one.embedding[:, k] for k in range(one.embedding.shape[1])}
    pd.DataFrame(columns).to_csv(folder / "embedding.csv", index=False, float_format="%.6g")
    scores.to_csv(folder / "scores.csv", index=False, float_format="%.6g")
    units.to_csv(folder / "units.csv", index=False, float_format="%.6g")
    written = ["embedding.csv", "scores.csv", "units.csv"]
    if one.embedding.shape[1] == 3:
        test = colored(session).select(one.held)
        figure = plots.trajectories(one.embedding[held], test)
        figure.savefig(folder / "embedding.pdf")
        plt.close(figure)  # else a notebook draws it
        interactive.trajectories(one.embedding[held], test).write_html(folder / "embedding.html")
        written += ["embedding.pdf", "embedding.html"]
    if hasattr(one.model, "save"):
        one.model.save(folder / "model.safetensors")
        written.append("model.safetensors")
    return [folder / name for name in written]
