"""Figures of the chapter *Audit*; those of simulated sessions say so."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import r2_score

from companion.audit import exchanged
from companion.style import finish, grid, line_styles, method_color, small_text
from nerlib.plots import WIDTH, watermark_simulated
from nerlib.session import Session

ORDER = ("NER", "CEBRA", "CEBRA-16", "piVAE")  # one colour each, in every figure


def scatter(decoded: dict[str, np.ndarray], session: Session) -> Figure:
    """Decoded against true horizontal velocity, one panel a method, both values of R² in its title.

    ``decoded`` is a dict, name -> velocity (T, 2), mm/s; ``session``, of T bins, is the truth.
    """
    figure, panels = grid(len(decoded), size=(3, 3.2), sharey=True)
    true = session.velocity[:, 0]
    span = np.array([true.min(), true.max()])
    for axes, (name, velocity) in zip(panels[0], decoded.items(), strict=True):
        axes.plot(span, span, color="0.6", linewidth=1)
        axes.plot(true, velocity[:, 0], ".", markersize=2, alpha=0.4, color=method_color(name))
        right, wrong = r2_score(session.velocity, velocity), r2_score(velocity, session.velocity)
        axes.set(title=f"{name}\nR² {right:.2f}; exchanged {wrong:.2f}", xlabel="true vx (mm/s)")
        axes.title.set_size(10)
    panels[0, 0].set_ylabel("decoded vx (mm/s)")
    return watermark_simulated(figure, [session])


def exchange(held_out: pd.DataFrame) -> Figure:
    """R² with its arguments exchanged against R²: held-out velocity of each recording, and 2 − 1 / R².

    ``held_out`` has one row a recording and method, with columns method, corrected and published.
    """
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    r2 = np.linspace(0.12, 1, 200)
    axes.plot(r2, exchanged(r2), color="0.6", linewidth=1, label="2 − 1 / R²")
    for method, rows in sorted(held_out.groupby("method"), key=lambda item: ORDER.index(item[0])):
        axes.plot(rows["corrected"], rows["published"], "o", color=method_color(method), label=method)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="R²(true, decoded)", ylabel="R²(decoded, true)")
    axes.legend(frameon=False, fontsize=9)
    return figure


def rotations(pairs: pd.DataFrame) -> Figure:
    """For each pair of sessions: the range of the eight single rotations, their mean, the paper's score.

    ``pairs`` has the columns worst, mean, best, paper of `audit.single_rotations`, of one method.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    pairs = pairs.sort_values("best")
    place = np.arange(len(pairs))
    axes.vlines(place, pairs["worst"].astype(float), pairs["best"].astype(float), color="0.75", linewidth=3)
    axes.plot(place, pairs["mean"], "_", color="0.3", label="mean of the eight")
    axes.plot(place, pairs["paper"], "o", markersize=4, label="published")
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="pair of sessions", ylabel="R²(decoded, true) of velocity", xticks=[])
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def train_test(scores: pd.DataFrame) -> Figure:
    """Training and held-out R² of velocity, a line between the two; one row a recording.

    ``scores`` has the columns recording, method, train and test.
    """
    names = list(dict.fromkeys(scores["recording"]))
    methods = [method for method in ORDER if method in set(scores["method"])]
    size = (6.5, 0.8 + 0.16 * len(names) * max(2, len(methods)))
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    for row in scores.itertuples():
        offset = 0.7 * ((methods.index(row.method) + 0.5) / len(methods) - 0.5)
        place, color = names.index(row.recording) + offset, method_color(row.method)
        axes.plot([row.test, row.train], [place, place], color=color, linewidth=1)
        axes.plot(row.train, place, "o", color=color, markersize=4, markerfacecolor="white")
        axes.plot(row.test, place, "o", color=color, markersize=4)
    for method in methods:
        axes.plot([], [], "o-", color=method_color(method), label=method)
    axes.set(xlabel="R² of velocity (open: training trials; filled: held out)", yticks=range(len(names)))
    axes.set_yticklabels(names, fontsize=8)
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=len(methods), frameon=False, fontsize=9)
    return figure


def peaks(chosen: pd.DataFrame, chance: float) -> Figure:
    """Direction accuracy of guesses at the best bin against the number of trials.

    ``chosen`` has the index number of trials and the columns published and corrected.
    """
    figure, axes = plt.subplots(figsize=(4.6, 2.8), layout="constrained")
    axes.plot(chosen.index, chosen["published"], "o-", label="bin chosen on the scored trials")
    axes.plot(chosen.index, chosen["corrected"], "s--", color="0.4", label="bin chosen on training trials")
    axes.axhline(chance, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="held-out trials", ylabel="accuracy of guesses", xscale="log", ylim=(0, None))
    axes.set_xticks(chosen.index, [str(n) for n in chosen.index], minor=False)
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False, fontsize=9)
    return figure


@small_text
def losses(records: Sequence[dict], n_steps: int) -> Figure:
    """Training loss of the authors' fits and of ours, one panel a recording and method.

    ``records`` are those of `parity.kept_records`, of fits that took ``n_steps`` steps.
    """
    groups: dict[tuple, list] = {}
    for record in records:
        groups.setdefault((record["method"], record["session"]), []).append(record)
    figure, panels = grid(len(groups), 4, size=(WIDTH / 4, 2))
    for axes, ((method, session), fits) in zip(panels.flat, groups.items(), strict=False):
        theirs = fits[0]["loss_theirs"]
        steps = (np.arange(len(theirs)) + 0.5) * n_steps / len(theirs)
        axes.plot(steps, theirs, color="0.5", linewidth=2.5, alpha=0.5, label="the authors")
        for number, fit in enumerate(fits):
            name = "ours" if number == 0 else None
            axes.plot(steps, fit["loss_ours"], color=method_color(method), linewidth=1, label=name)
        axes.set_title(f"{method},\n{session}".replace("_", " "))
        axes.set_xticks([0, n_steps / 2, n_steps])
        axes.legend(frameon=False, handlelength=1)
    figure.supxlabel("training step", fontsize=9)
    figure.supylabel("loss", fontsize=9)
    return figure


def both_values(table: pd.DataFrame, sessions: Sequence[Session] = ()) -> Figure:
    """Scores in two or more ways, a row a score and a marker a way; a line joins the ways of a row.

    ``table`` has one row a score, indexed by its name, and one column a way. ``sessions`` are behind it.
    """
    figure, axes = plt.subplots(figsize=(6.5, 0.9 + 0.36 * len(table)), layout="constrained")
    places = np.arange(len(table))
    axes.hlines(places, table.min(axis=1), table.max(axis=1), color="0.8", linewidth=1.5, zorder=1)
    styles = line_styles(table.columns)
    for (name, scores), marker in zip(table.items(), "osD^v", strict=False):
        axes.plot(scores, places, marker, color=styles[name]["color"], label=name, linestyle="none")
    axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="score", ylim=(len(table) - 0.5, -0.5))
    axes.set_yticks(places, table.index)
    figure.legend(loc="outside upper center", ncols=len(table.columns), frameon=False, fontsize=9)
    return finish(figure, sessions)
