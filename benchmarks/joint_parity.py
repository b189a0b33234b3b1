"""Joint CEBRA against the multi-session training of the `cebra` package, on two recordings.

    python benchmarks/joint_parity.py

The same steps, rate and bins of each session a step. The package gives every session a network of its own and
looks for positives in another session; here sessions share all layers but the first. One linear decoder for
both sessions, fitted on training trials, scores the held-out trials of each. The package takes its seed from
the system, so that no seed makes it repeat itself. Writes book/reference/joint_parity.json after every pair
of fits; a second call does what the file lacks.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

import cebra
import numpy as np
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from validation import kept_records

from companion import results
from companion.catalogue import load_session
from nerlib import CEBRA

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "joint_parity.json"
NAMES = ("Chewie_20161007", "Chewie_20160929")
SETTINGS = [{"steps": 1600, "rate": 1e-3}, {"steps": 800, "rate": 3e-3}, {"steps": 6400, "rate": 1e-3}]
BINS, SEEDS = 128, range(6)  # bins of each session a step


def ours(sessions, steps, rate, seed):
    model = CEBRA(max_iter=steps, learning_rate=rate, batch_size=BINS * len(sessions), random_state=seed,
                  label_columns=(0, 1), device="cpu")  # fmt: skip
    model.fit(*([getattr(s, name) for s in sessions] for name in ("rates", "labels", "trial")))
    return lambda rates, number: model.transform(rates, session=number)


def package(sessions, steps, rate, _):
    model = cebra.CEBRA(
        model_architecture="offset1-model", num_hidden_units=32, output_dimension=3, distance="cosine",
        conditional="time_delta", time_offsets=1, temperature=1.0, device="cpu",
        max_iterations=steps, learning_rate=rate, batch_size=BINS,
    )  # fmt: skip
    model.fit(*([getattr(s, name).astype(np.float32) for s in sessions] for name in ("rates", "velocity")))
    return lambda rates, number: np.asarray(model.transform(rates, session_id=number))


def held_out(embed, train, test):
    """Velocity R² of each session's held-out trials, by one decoder for all."""
    points = np.concatenate([embed(s.rates.astype(np.float32), i) for i, s in enumerate(train)])
    decoder = LinearRegression().fit(points, np.concatenate([s.velocity for s in train]))
    decoded = [decoder.predict(embed(s.rates.astype(np.float32), i)) for i, s in enumerate(test)]
    return [r2_score(s.velocity, velocity) for s, velocity in zip(test, decoded, strict=True)]


def write(recordings, records):
    done = sorted({r["seed"] for r in records})
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=done, records=records)


def main():
    torch.set_num_threads(1)
    recordings = [load_session(name, "M1") for name in NAMES]
    records = kept_records(PATH)
    known = {(r["seed"], r["steps"], r["rate"]) for r in records}
    train, test = zip(*(session.split() for session in recordings), strict=True)
    for seed in SEEDS:
        for settings in (s for s in SETTINGS if (seed, *s.values()) not in known):
            for name, fit in {"nerlib": ours, "cebra": package}.items():
                scores = held_out(fit(train, settings["steps"], settings["rate"], seed), train, test)
                about = {"code": name, "seed": seed} | settings
                records += [
                    about | {"session": s.name, "velocity_r2": r2}
                    for s, r2 in zip(recordings, scores, strict=True)
                ]
            write(recordings, records)


if __name__ == "__main__":
    main()
