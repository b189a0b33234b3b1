"""How much the average reach explains: decoders that play back the training mean of a direction.

They are the bar that an explained variance must clear before it says anything about single trials (Methods
page, *Single trials*).
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from nerlib import metrics
from nerlib.session import Session

NAMES = ("average reach, true direction", "average reach, decoded direction", "time alone")


def records(sessions: list[Session]) -> list[dict]:
    """Scores of the three templates on held-out trials, as the rows of `nerlib.experiments.run`.

    - average reach, true direction: the mean velocity of the training trials to the trial's own target;
    - average reach, decoded direction: that of one direction a trial, decoded from its mean rates by logistic
      regression. It sees the whole trial, so it is no decoder in real time;
    - time alone: the mean velocity of all training trials.

    Returns a list of dict, one a session and template: protocol "corrected", split "test", decoder "linear",
    seed None; direction accuracy is that of the template's direction, and missing for time alone. Raises
    ValueError for a session without directions, and for directions in the test trials alone.
    """
    return [record for session in sessions for record in _templates(session)]


def _templates(session):
    train, test = session.split()
    directions, averages = train.average_by_direction(train.velocity)
    starts = test.trial_starts
    true = test.direction[starts]
    if not np.isin(true, directions).all():
        raise ValueError(f"{session.name}: some directions of test trials have no training trial")
    decoder = LogisticRegression(max_iter=1000)
    decoder.fit(mean_rates(train), train.direction[train.trial_starts])
    decoded = decoder.predict(mean_rates(test))
    of_time = np.average(averages, axis=0, weights=np.unique(train.direction, return_counts=True)[1])
    which = [np.searchsorted(directions, chosen) for chosen in (true, decoded)]
    played = [averages[i] for i in which] + [np.broadcast_to(of_time, (len(starts), *of_time.shape))]
    about = {field: getattr(session, field) for field in ("area", "monkey", "date", "simulated")}
    about |= {"session": session.name, "seed": None, "settings": "", "decoder": "linear", "split": "test"}
    for name, velocity, direction in zip(NAMES, played, (true, decoded, None), strict=True):
        bins = np.minimum(test.bin_in_trial, velocity.shape[1] - 1)  # a longer trial keeps the last one
        trials = np.repeat(np.arange(len(starts)), test.trial_lengths)
        scores = metrics.score(velocity[trials, bins], test.direction, test, held_out=True, peak_bin=0)
        found = scores["corrected"]
        found["direction_accuracy"] = None if direction is None else float((direction == true).mean())
        yield about | {"method": name, "protocol": "corrected", "seconds": 0.0} | found


def mean_rates(session: Session) -> np.ndarray:
    """Mean rates of each trial: array (n_trials, N), spikes/bin."""
    sums = np.add.reduceat(session.rates, session.trial_starts, axis=0, dtype=np.float64)
    return sums / session.trial_lengths[:, None]
