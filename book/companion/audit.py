"""What the chapter *Audit* shows: each way of scoring that flatters or misleads, on its own."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.linalg import orthogonal_procrustes

from companion import authors_embeddings
from companion.comparison import METRICS, compare_transfer
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


def random_peak(n_trials: int, *, seed: int = 0) -> dict[str, float]:
    """Direction accuracy of guesses at the best of 40 bins, chosen on the scored trials or on others.

    Returns a dict: "published" and "corrected", as `nerlib.metrics.score` chooses the bin; chance is 1 / 8.
    """
    rng, trial = np.random.default_rng(seed), np.repeat(np.arange(n_trials), 40)
    own = np.repeat(rng.integers(8, size=n_trials), 40) * 45.0
    session = Session(np.zeros((len(trial), 1)), rng.normal(size=(len(trial), 2)), own, trial)
    guesses, others = (rng.integers(8, size=len(trial)) * 45.0 for _ in range(2))
    peak = metrics.peak_bin(others, session)
    scored = metrics.score(session.velocity, guesses, session, held_out=True, peak_bin=peak)
    return {protocol: scores["direction_accuracy"] for protocol, scores in scored.items()}


def random_rotation(session: Session, dimensions: int, seed: int = 0) -> dict[str, float]:
    """R² of held-out velocity through a rotation of random numbers onto an embedding that holds velocity.

    The target's embedding knows nothing. Returns a dict with the keys "training trials" and "test trials":
    its trials whose averages the rotation was fitted to; the test trials are those that are scored.

    Parameters
    ----------
    session : Session with directions
    dimensions : int, of both embeddings, two or more
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

    Returns a list of dict like those of `nerlib.runs.transfer_run`, linear decoder, with "rotation": the
    direction (degrees) whose averages of all trials it aligns; or "all trials" or "training trials", from all
    directions at once. "velocity_r2" has its arguments exchanged, "in_order" has not.
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
    found = {direction: orthogonal_procrustes(here, there)[0] for direction, here, there in pairs}
    found["all trials"] = align(*both, *sessions)
    train = [run.published["train"] for run in (source, target)]
    found["training trials"] = align(*train, source.splits["train"], target.splits["train"])
    return found


def single_rotations(runs: Sequence[Run], published: str) -> list[dict]:
    """For each pair of runs: scores of its rotations from one direction, and the paper's beside them.

    Returns a list of dict: method, session, target; "worst", "mean" and "best" R² of velocity (exchanged) of
    the rotations from one direction; "paper", its value; "off", how far the nearest of these rotations is
    from the paper's R² of velocity and of position, the larger of the two; "all_trials" and
    "training_trials", R² of velocity with arguments in order by one rotation from all directions.
    ``published`` is the path of published_cross_session.csv.
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


def score_all(runs: Sequence[Run], maze: Sequence[Run], published: str) -> list[dict]:
    """All records of the chapter; "table" says which: "within", "transfer" or "rotations".

    ``runs`` are of M1, ``maze`` of MC_Maze; ``published`` is the path of published_cross_session.csv.
    """
    found = {
        "within": authors_embeddings.score_runs([*runs, *maze]),
        "transfer": authors_embeddings.score_transfers(runs),
        "rotations": single_rotations(runs, published),
    }
    return [{"table": table} | _short(record) for table, records in found.items() for record in records]


def _short(record):
    """A record without what scoring does not tell, or depends on the machine; six digits."""
    dropped = ("direction_over_time", "seconds", "settings")
    kept = {name: value for name, value in record.items() if name not in dropped}
    return {n: round(float(v), 6) if isinstance(v, float) else v for n, v in kept.items()}


def tables(records: Sequence[dict]) -> dict[str, list[dict]]:
    """The records of `score_all` by their table; MC_Maze, in "within" too, is "curved"."""
    found: dict[str, list[dict]] = {"within": [], "curved": [], "transfer": [], "rotations": []}
    for record in records:
        curved = record["table"] == "within" and record["session"].startswith("MC_Maze")
        found["curved" if curved else record["table"]].append(record)
    return found


def open_scores(data: str, published: str) -> tuple[dict[str, list[dict]], dict[str, str], str]:
    """The scores of the authors' embeddings: from their files, or as kept where some are not here.

    Returns `tables`, the files behind them (name -> git blob), and what to say about them, as Markdown.
    """
    (runs, maze), kept, said = _open(data, "M1", "M1+PMd")
    if said:
        return tables(kept["records"]), kept["provenance"]["files"], said
    files = {run.file: run.blob for run in [*runs, *maze]}
    said = f"The scores of the authors' embeddings were computed here, from {len(files)} files."
    return tables(score_all(runs, maze, published)), files, said


def open_curved(data: str) -> tuple[pd.DataFrame, list[authors_embeddings.AuthorsRun], str]:
    """The authors' embeddings of MC_Maze: their scores, the runs (none where a file is absent), what to say.

    The scores have the column "recording": task and trial types.
    """
    (runs,), kept, said = _open(data, "M1+PMd")
    records = authors_embeddings.score_runs(runs) if runs else tables(kept["records"])["curved"]
    scores = pd.DataFrame(records)
    scores["recording"] = scores["session"].str.removeprefix("MC_Maze ")
    return scores, runs, said or f"Computed here, from {len(runs)} files of the authors."


def _open(data, *areas):
    """The runs behind the kept scores by area, the kept scores, and why these are shown ("" if they are not).

    Where a file is not here there are no runs.
    """
    kept = json.loads(authors_embeddings.KEPT.read_text())
    wanted, why = kept["provenance"]["files"], "this page shows simulated data"
    if data == "recorded":
        opened = [authors_embeddings.open_runs(area) for area in areas]
        absent = sum(file in wanted for _, missing in opened for file in missing)
        if not absent:
            return [[run for run in runs if run.file in wanted] for runs, _ in opened], kept, ""
        why = f"{absent} of the authors' files are not here"
    said = (
        f"**Kept scores.** Scores of the authors' embeddings are of recorded data, computed on "
        f"{kept['provenance']['date']} and kept with the book: {why}; `make fetch` downloads the files."
    )
    return [[] for _ in areas], kept, said


def train_and_test(scores: pd.DataFrame, value: str = "ours") -> pd.DataFrame:
    """Corrected scores, one row a recording and method: columns recording, method, train and test."""
    scores = scores[scores["protocol"] == "corrected"]
    wide = scores.pivot_table(value, ["recording", "method"], "split", sort=False)
    return wide.reset_index()


def same_rotation(transfer: pd.DataFrame) -> pd.DataFrame:
    """How often the rule of the `published` protocol picks the rotation behind the paper's scores.

    Returns a DataFrame, index method: "pairs" of different sessions, "same" (R² of velocity and position both
    agree to four digits), and the mean R² of velocity, "ours" and "paper". ``transfer`` is the DataFrame of
    `comparison.compare_transfer`.
    """
    rows = transfer.query("protocol == 'published' and metric in ['velocity_r2', 'position_r2']")
    rows = rows[rows["from"] != rows["to"]].dropna(subset="paper")
    close = (rows["ours"] - rows["paper"]).abs() < 5.1e-5
    agrees = close.groupby([rows["method"], rows["recording"]]).all()
    counts = agrees.groupby("method").agg(pairs="size", same="sum")
    return counts.join(rows[rows["metric"] == "velocity_r2"].groupby("method")[["ours", "paper"]].mean())


def stand_ins(records: pd.DataFrame) -> list[Session]:
    """The sessions that scores are of, by name and area alone: all that a row of the headline needs."""
    named = records[["session", "area"]].drop_duplicates().itertuples(index=False)
    return [Session(np.zeros((1, 1)), np.zeros((1, 2)), name=name, area=area) for name, area in named]


def common(scores: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The rows of some methods, on recordings (or pairs) that each of them has."""
    part = scores[scores["method"].isin(methods)]
    counts = part.groupby("recording")["method"].transform("nunique")
    return part[counts == len(methods)]


def main_table(within: pd.DataFrame, transfer: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Mean scores over the recordings and the pairs that all of some methods have.

    Returns a DataFrame, index method, columns (metric, scores of); "another day, the paper's" are means of
    the paper's values.

    Parameters
    ----------
    within, transfer : DataFrames of `comparison.compare` and `compare_transfer`, linear decoder
    methods : list of str
    """
    names = {
        ("train", "published"): "training",
        ("test", "published"): "held out, published",
        ("test", "corrected"): "held out, corrected",
        ("pair", "paper"): "another day, the paper's",
        ("pair", "corrected"): "another day, corrected",
        ("pair", "affine"): "another day, affine map",
    }
    pairs = common(transfer[transfer["from"] != transfer["to"]], methods).assign(split="pair")
    paper = pairs[pairs["protocol"] == "published"]
    paper = paper.assign(ours=paper["paper"], protocol="paper")
    both = pd.concat([common(within, methods), pairs, paper]).replace({"metric": METRICS})
    both["scores of"] = [names.get(key) for key in zip(both["split"], both["protocol"], strict=True)]
    means = both.pivot_table("ours", "method", ["metric", "scores of"])
    wanted = [(m, name) for m in METRICS.values() for name in names.values() if (m, name) in means]
    return means[wanted].loc[list(methods)]
