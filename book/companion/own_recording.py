"""A recording of the reader's own: read, looked at, and cleaned of what cannot be used."""

import ast
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from companion import catalogue
from nerlib.data import TrialsLeftOut, describe_nwb, read_nwb
from nerlib.data.nwb import open_nwb
from nerlib.session import Session

BUNDLED, SIMULATED = "Mihili_20140303", "Sim_M1_day000"
ALIKE = 0.9  # correlation of two units' rates from which they look like one unit, sorted twice


def find_recording(data: str, path: str = "") -> Path | None:
    """The NWB file to read: the reader's, or one that comes with the book; None for simulated data.

    Raises FileNotFoundError with the whole path that was looked for.
    """
    if data == "simulated":
        return None
    if not path:
        return catalogue.find_file(BUNDLED)
    found = Path(path).expanduser()
    if not found.is_file():
        where = "a relative path starts in the folder in which the notebook runs, so give a whole one"
        raise FileNotFoundError(f"{found.absolute()}: no such file; {where}")
    return found


def contents(path: Path | None) -> pd.DataFrame:
    """`nerlib.data.describe_nwb` of the file; empty for simulated data, which have none."""
    if path is None:
        return pd.DataFrame(columns=["part", "name", "size", "holds"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the readers, about old files' cached schemas
        return describe_nwb(path)


def parse_keep(text: str) -> dict:
    """ "result:R,I; block:2" as the argument ``keep`` of `nerlib.read_nwb`; "" or "{}" keeps all trials."""
    keep = {}
    text = "" if text.strip() == "{}" else text
    for part in filter(None, map(str.strip, text.split(";"))):
        name, colon, values = part.partition(":")
        if not colon:
            read = f'"column:value" or "column:a,b; other:c", got {text!r}'
            raise ValueError(f'keep must read {read}; "" keeps all trials')
        keep[name.strip()] = [_literal(value.strip()) for value in values.split(",")]
    return keep


def _literal(text):
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
    return value if isinstance(value, (bool, int, float)) else text


def parse_names(given: str | Iterable[str]) -> list[str]:
    """A list of names, also as the text "['a', 'b']" or "a, b" that papermill's -p hands on."""
    if isinstance(given, str):
        given = [name.strip(" []'\"") for name in given.split(",")]
    return list(dict.fromkeys(filter(None, given)))


def read(path: Path | None, *, keep: str, counts: str, **options) -> tuple[Session, pd.DataFrame]:
    """Read the recording, and count the trials that are not used.

    Returns a Session, and a DataFrame with the columns trials and why, one row a reason. Raises what
    `nerlib.read_nwb` raises.

    Parameters
    ----------
    path : as of `find_recording`
    keep : str, as in `parse_keep`
    counts : str, as in `nerlib.read_nwb`; "" is spike times, or the counts of the bundled recording
    **options : the other parameters of `nerlib.read_nwb`; "" stands for None
    """
    if path is None:
        session = catalogue.load_session(SIMULATED, smoothing=options["smoothing"])
        return session, pd.DataFrame([(session.n_trials, "used")], columns=["trials", "why"])
    if path.parent == catalogue.RECORDINGS and not counts:
        counts = f"ecephys/counts_{options['area']}"
    given = {name: None if value == "" else value for name, value in options.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = read_nwb(path, keep=parse_keep(keep), counts=counts or None, **given)
        with open_nwb(path) as nwb:
            n_trials = len(nwb.trials)
    found = [w.message.counts for w in caught if isinstance(w.message, TrialsLeftOut)]
    rows = [(session.n_trials, "used")] + [(n, why) for reasons in found for why, n in reasons.items()]
    unasked = n_trials - sum(n for n, _ in rows)
    rows += [(unasked, f"not selected by keep={keep}")] * bool(unasked)
    return session, pd.DataFrame(rows, columns=["trials", "why"])


def check_units(session: Session) -> pd.DataFrame:
    """Units that are silent, or there twice, or suspiciously alike.

    Returns a DataFrame, one row a unit: unit (from 0, in the order of the file), rate (spikes/s, in the
    trials), problem (text, "" for none) and dropped (bool: silent, or equal to an earlier unit in every bin).
    """
    rates = np.round(session.rates, 9)
    silent = (rates == 0).all(axis=0)
    _, first, which = np.unique(rates.T, axis=0, return_index=True, return_inverse=True)
    first = first[which.ravel()]
    problem = [""] * rates.shape[1]
    kept = ~silent & (first == np.arange(len(first)))
    for unit in np.flatnonzero(~kept):
        problem[unit] = "silent" if silent[unit] else f"equal to unit {first[unit]}"
    own = np.flatnonzero(kept)
    if len(own) > 1:
        pairs = np.argwhere(np.triu(np.corrcoef(rates[:, own].T) > ALIKE, 1))
        for earlier, later in own[pairs]:
            problem[later] = f"like unit {earlier}"
    rate = rates.mean(axis=0) / session.bin_width
    return pd.DataFrame({"unit": np.arange(len(first)), "rate": rate, "problem": problem, "dropped": ~kept})


def check_trials(session: Session, still: float) -> pd.DataFrame:
    """The peak speed of each trial.

    Returns a DataFrame, one row a trial: trial (its id), peak_speed (mm/s) and dropped (bool: below the share
    ``still`` of the median trial's peak). Raises ValueError where nothing moves in any trial.
    """
    peak = np.maximum.reduceat(np.linalg.norm(session.velocity, axis=1), session.trial_starts)
    if not peak.any():
        raise ValueError(f"{session.name}: velocity is 0 in all {len(peak)} trials; is it the right series?")
    ids = session.trial[session.trial_starts]
    return pd.DataFrame({"trial": ids, "peak_speed": peak, "dropped": peak < still * np.median(peak)})


def clean(session: Session, units: pd.DataFrame, trials: pd.DataFrame) -> Session:
    """The session without the units and trials that are marked ``dropped``."""
    kept = session.select(~trials["dropped"].to_numpy())
    return replace(kept, rates=kept.rates[:, ~units["dropped"].to_numpy()])


def describe(session: Session) -> str:
    """What is read, in one line of Markdown."""
    kind = "SIMULATED" if session.simulated else "Recorded"
    bins = f"{session.trial_lengths.max()} bins of {1000 * session.bin_width:g} ms"
    moves = f"velocity in {session.velocity.shape[1]} columns"
    aims = "no directions" if session.direction is None else f"{len(set(session.direction))} directions"
    units = f"{session.rates.shape[1]} units"
    trials = f"{session.n_trials} trials of {bins}"
    return f"**{kind}** · {session.name} {session.area}: {units}, {trials}, {moves}, {aims}."


def colored(session: Session) -> Session:
    """The session for figures: where it has no directions, those of the trials' displacements, by 45°."""
    if session.direction is not None or session.velocity.shape[1] < 2:
        return session
    x, y = np.add.reduceat(session.velocity, session.trial_starts)[:, :2].T
    steps = np.round(np.arctan2(y, x) / (np.pi / 4)) % 8
    return replace(session, direction=np.repeat(45 * steps, session.trial_lengths))


def in_words(units: pd.DataFrame, trials: pd.DataFrame) -> str:
    """What `check_units` and `check_trials` found, as a Markdown list."""
    active, peak = units.loc[~units["dropped"], "rate"], trials["peak_speed"]
    still = trials.loc[trials["dropped"], "trial"]
    lines = [
        f"- {len(active)} units are used, with {active.min():.2g} to {active.max():.3g} spikes/s "
        f"(median {active.median():.3g}).",
        f"- Peak speed in a trial is {peak.min():.0f} to {peak.max():.0f} mm/s (median {peak.median():.0f}).",
        f"- Trials without movement, left out: {_listed(still)}.",
    ]
    for dropped, said in ((True, "left out"), (False, "kept, but look at them")):
        found = units[(units["dropped"] == dropped) & (units["problem"] != "")]
        told = [f"{row.unit} ({row.problem})" for row in found.itertuples()]
        lines.append(f"- Units with a problem, {said}: {_listed(told)}.")
    return "\n".join(lines)


def _listed(values, most=20):
    """Some values in words: "none", all of them, or the first ones and how many more there are."""
    values = [str(value) for value in values]
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return (", ".join(values[:most]) or "none") + more
