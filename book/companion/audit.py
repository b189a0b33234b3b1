"""What the chapter *Audit* shows: each way of scoring that flatters or misleads, on its own."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.linalg import orthogonal_procrustes

from companion.comparison import compare_transfer
from nerlib import metrics
from nerlib.alignment import align, common_averages
from nerlib.decoders import LinearDecoder
from nerlib.runs import Run
from nerlib.session import Session

PAIR = ["method", "session", "target"]


def exchanged(r2: np.ndarray) -> np.ndarray:
    """R²(decoded, true) of a least-squares decoder whose R²(true, decoded) is ``r2``: 2 − 1 / R².

    Such a decoder explains the share r² of the variance, so its output varies by that share; its errors, the
    remaining 1 − r², are then divided by r² and no longer by 1.
    """
    return 2 - 1 / np.asarray(r2, float)


def random_peak(n_trials: int, *, n_bins: int = 40, n_directions: int = 8, seed: int = 0) -> dict[str, float]:
    """Direction accuracy of guesses at the best time bin, chosen on the scored trials or on others.

    Returns
    -------
    dict: "published" and "corrected", as `nerlib.metrics.score` chooses the bin; chance is 1 / n_directions
    """
    rng = np.random.default_rng(seed)
    angle = 360 / n_directions
    trial = np.repeat(np.arange(n_trials), n_bins)
    own = np.repeat(rng.integers(n_directions, size=n_trials), n_bins) * angle
    session = Session(np.zeros((len(trial), 1)), rng.normal(size=(len(trial), 2)), own, trial)
    guesses, others = (rng.integers(n_directions, size=len(trial)) * angle for _ in range(2))
    peak = metrics.peak_bin(others, session)
    scored = metrics.score(session.velocity, guesses, session, held_out=True, peak_bin=peak)
    return {protocol: scores["direction_accuracy"] for protocol, scores in scored.items()}


def random_rotation(session: Session, dimensions: int, seed: int = 0) -> dict[str, float]:
    """R² of held-out velocity through a rotation of random numbers onto an embedding that holds velocity.

    The target's embedding knows nothing. Its rotation is fitted to averages of its training trials, or of the
    test trials that are scored.

    Parameters
    ----------
    session : Session with directions
    dimensions : int, of both embeddings, two or more

    Returns
    -------
    dict: "training trials" and "test trials", the trials that the rotation was fitted to
    """
    rng = np.random.default_rng(seed)
    train, test = session.split()
    source = rng.normal(size=(len(train.trial), dimensions))
    source[:, :2] += 3 * train.velocity / train.velocity.std()
    decoder = LinearDecoder().fit(source, train)
    random = {part: rng.normal(size=(len(part.trial), dimensions)) for part in (train, test)}
    found = {}
    for name, part in (("training trials", train), ("test trials", test)):
        rotation = align(random[part], source, part, train)
        decoded = decoder.score(random[test] @ rotation, test, held_out=True)
        found[name] = decoded["corrected"]["velocity_r2"]
    return found


def rotated_scores(runs: Sequence[Run]) -> list[dict]:
    """Held-out scores of each pair of runs of one method, by each rotation that could align the two.

    Returns
    -------
    list of dict like those of `nerlib.runs.transfer_run`, linear decoder, with "rotation": the direction
    (degrees) whose averages of all trials it aligns; or "all trials" or "training trials", from all
    directions at once. "velocity_r2" has its arguments exchanged, "in_order" has not
    """
    rows = []
    for source in runs:
        decoder = LinearDecoder().fit(source.published["train"], source.splits["train"])
        for target in runs:
            if source is target or source.about["method"] != target.about["method"]:
                continue
            about = source.about | {"target": target.about["session"], "decoder": "linear"}
            about |= {f"target_{field}": target.about[field] for field in ("area", "monkey", "date")}
            test = target.splits["test"]
            for name, rotation in _rotations(source, target).items():
                scored = decoder.score(target.published["test"] @ rotation.T, test, held_out=True)
                scores = {m: scored["published"][m] for m in ("velocity_r2", "position_r2")}
                scores |= {"protocol": "published", "in_order": scored["corrected"]["velocity_r2"]}
                rows.append(about | {"rotation": name} | scores)
    return rows


def _rotations(source, target):
    """Name -> matrix that rotates the source onto the target."""
    both = [np.concatenate([*run.published.values()]) for run in (source, target)]
    sessions = [source.session, target.session]
    directions, *averages = common_averages(both, sessions)
    pairs = zip(directions, *averages, strict=True)
    found: dict = {direction: orthogonal_procrustes(here, there)[0] for direction, here, there in pairs}
    found["all trials"] = align(*both, *sessions)
    train = [run.published["train"] for run in (source, target)]
    found["training trials"] = align(*train, source.splits["train"], target.splits["train"])
    return found


def single_rotations(runs: Sequence[Run], published: str) -> list[dict]:
    """For each pair of runs: the scores of its rotations from one direction, and the paper's score beside them.

    Parameters
    ----------
    runs : list of Run
    published : path of published_cross_session.csv

    Returns
    -------
    list of dict: method, session, target; "worst", "mean" and "best" R² of velocity (exchanged) of the
    rotations from one direction; "paper", its value; "off", how far the nearest of these rotations is from
    the paper's R² of velocity and of position, the larger of the two; "all_trials" and "training_trials", R²
    of velocity with arguments in order by one rotation from all directions
    """
    scores = rotated_scores(runs)
    table = compare_transfer(scores, published)
    single = table[~table["rotation"].isin(["all trials", "training trials"])]
    velocity = single[single["metric"] == "velocity_r2"].groupby(PAIR, sort=False)
    found = velocity["ours"].agg(worst="min", mean="mean", best="max")
    found["paper"] = velocity["paper"].first()
    off = (single["ours"] - single["paper"]).abs().groupby([single[c] for c in [*PAIR, "rotation"]])
    found["off"] = off.max().groupby(PAIR).min()
    in_order = pd.DataFrame(scores).pivot_table("in_order", PAIR, "rotation")
    for name in ("all trials", "training trials"):
        found[name.replace(" ", "_")] = in_order[name]
    return found.reset_index().astype(object).where(lambda t: t.notna(), None).to_dict("records")
