"""What the choices are worth, and controls and objections: the longer rows of *Choices and controls*.

    python benchmarks/controls.py --jobs 16 --minutes 5
    python benchmarks/controls.py --missing --only folds drift

Some thousand short fits, the most important first; each takes a few seconds of one core, all of them about
three hours. Finished ones are cached: a second call continues where the first one stopped. What is finished
when the time is up is written to book/reference/controls.json, beside the rows that were there before.
Settings are those of profile `fast`, one changed at a time; no score here chooses anything.
"""

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

import ceilings
import control_jobs
import torch
from control_jobs import KINDS, Job
from joblib import Parallel, delayed
from joblib import hash as content_hash

from companion import control_runs, controls, results
from companion.catalogue import cache_folder, open_sessions
from companion.control_runs import CONTROLS
from nerlib import runs
from nerlib._provenance import source_digest, versions

PATH = Path(__file__).resolve().parent.parent / "book" / "reference" / "controls.json"
SEEDS = (42, 43)
OWN = [Path(module.__file__) for module in (ceilings, control_jobs, control_runs, controls)]
ABOUT = ("table", "value", "method", "seed", "session", "area", "target", "target_area", "alignment")
KEPT = ("velocity_r2", "position_r2", "direction_accuracy", "single_trial_r2", "r2", "angle_error")
MORE = (
    "single_trial_correlation",
    "onset_r2",
    "onset_correlation",
    "endpoint",
    "endpoint_direct",
    "direct_r2",
)
NETWORKS = ("NER", "MSE bottleneck")
CHOICES: dict[str, list] = {
    "dimensions": [(n, {"n_components": n}) for n in (2, 3, 4, 6, 8, 16)],
    "history": [(n, {"window": n}) for n in (1, 2, 5, 10, 15, 20)],
    "history, causal": [(n, {"window": n, "smoothing": "causal"}) for n in (1, 2, 5, 10, 15, 20)],
    "temperature": [(t, {"temperature": t}) for t in (0.1, 0.25, 0.5, 1.0, 2.0)],
    "labels": [(name, {"labels": name}) for name in ("both", "velocity", "direction", "position")],
    "trials": [(n, {"trials": n}) for n in (8, 16, 32, 64, 128)],
    "steps": [(n, {"max_iter": n}) for n in (75, 150, 300, 600, 1200, 2400)],
}
OF_NETWORKS = ("dimensions", "history", "history, causal", "labels", "trials")
PLAIN = ("ridge", "ridge, 10 bins", "PCA", "dPCA")


def plan(recordings):
    """All jobs, the most important first: for the first seed, then for the second."""
    each = [((s.name, s.area),) for s in recordings]
    groups = {}
    for s in recordings:
        groups.setdefault((s.monkey, s.area), []).append((s.name, s.area))
    pairs = [tuple(group) for group in groups.values()]

    def jobs(kind, table, methods, value="", where=each, **options):
        return [(kind, table, value, m, r, tuple(options.items())) for m in methods for r in where]

    def choices(method, *axes):
        return [
            job
            for axis in axes
            for value, options in CHOICES[axis]
            for job in jobs("within", axis, [method], value, **options)
        ]

    def under(control, *methods):
        return jobs("within", "controls", methods, control or "none", control=control)

    broken = [name for name in CONTROLS if name != "movements permuted"]
    first = [under(None, *NETWORKS, *PLAIN), choices("NER", *CHOICES)]
    first += [jobs("days", "transfer", ["NER", "MSE bottleneck", "MSE bottleneck, flat"], where=pairs)]
    first += [under("movements permuted", *NETWORKS, *PLAIN)]
    first += [under(c, *NETWORKS) for c in ("encoder on permuted movements", "encoder untrained")]
    tens = ["NER, 10 bins", "MSE bottleneck, 10 bins", "NER, own labels", "MSE bottleneck, flat"]
    first += [jobs("within", "methods", [*tens, "Kalman filter", "GRU"])]
    for width in (0.045, 0.11):  # s: the paper's, and the one that `causal` of best.py chose
        past, value = {"smoothing": "causal", "smooth_sd": width}, f"causal rates, {1e3 * width:.0f} ms"
        first += [jobs("within", "methods, causal", ["Kalman filter", "GRU"], value, **past)]
    linear = ["ridge", "ridge, 10 bins", "PCA"]
    for kind, table in (("direction", "direction left out"), ("folds", "folds")):
        first += [jobs(kind, table, ["NER"], max_iter=600)]  # half the steps: five to eight fits a recording
        first += [jobs(kind, table, ["MSE bottleneck"], max_iter=800), jobs(kind, table, linear)]
    first += [jobs("drift", "drift", [*NETWORKS, "ridge", "ridge, 10 bins"])]
    first += [jobs("days", "transfer", ["PCA", "PCA, 10 components"], where=pairs)]
    labels = {"CEBRA": ("both", "velocity, cosine, sine"), "CEBRA-velocity": ("both",)}
    first += [
        jobs("within", "labels of CEBRA", [name], title, labels=title)
        for name, titles in labels.items()
        for title in titles
    ]
    first += [choices("MSE bottleneck", *OF_NETWORKS), under(None, "CEBRA", "CEBRA-velocity")]
    first += [under(c, *NETWORKS, *PLAIN) for c in broken]
    first += [choices("ridge", "history", "history, causal", "trials")]
    first += [jobs("folds", "folds", ["NER, 10 bins"])]
    once = [under("movements permuted", "CEBRA", "CEBRA-velocity"), choices("CEBRA-velocity", "dimensions")]
    once += [under(c, "UMAP-label", "piVAE") for c in ("movements permuted", None)]
    once += [under(c, "CEBRA", "CEBRA-velocity", "UMAP-label") for c in broken]
    once += [choices("CEBRA-velocity", "history"), *(under(c, "piVAE") for c in broken)]
    once += [under(c, "UMAP", "CEBRA-16") for c in (None, "movements permuted", *broken)]
    once += [jobs("repeats", "repeats", [*NETWORKS, "MSE bottleneck, flat", "CEBRA-velocity"])]
    settled = {*PLAIN, "Kalman filter", "PCA, 10 components"}  # another seed changes nothing but the control
    seeded = [job for part in first for job in part]
    again = [job for job in seeded if job[3] not in settled or job[1] == "controls"]
    order = [(job, SEEDS[0]) for job in seeded]
    order += [(job, SEEDS[0]) for part in once for job in part] + [(job, SEEDS[1]) for job in again]
    return [Job(*job[:5], seed, job[5]) for job, seed in order]


def records(job):
    """What a job finds, as rows of the results file."""
    about = {"table": job.table, "value": job.value, "method": job.method, "seed": job.seed}
    name, area = job.recordings[0]
    about |= {"session": name, "area": area}
    more = MORE if job.table == "methods" or job.method == "NER" and job.value == 10 else ()
    kept = (*ABOUT, *KEPT, *more)
    torch.set_num_threads(1)
    found = [about | row for row in KINDS[job.kind](job, **dict(job.options))]
    found = [row | ({"target_area": area} if "target" in row else {}) for row in found]
    return [
        {key: round(v, 4) if isinstance(v := row[key], float) else v for key in kept if key in row}
        for row in found
    ]


def attempt(job, key, deadline):
    """In a worker: the rows of a job, None when the time was up, or why there are none, as text."""
    memory = runs.cached(cache_folder() / "controls")
    call = (key, records, (job,))
    if time.time() > deadline and not memory.check_call_in_cache(*call):
        return job, None
    try:
        return job, memory(*call)
    except Exception:
        return job, traceback.format_exc()


def identity(row):
    """What tells a row from the others of the file."""
    return tuple(row.get(name) for name in ABOUT)


def done(rows):
    """Which job each row is of; a job that fills several tables is known by one of them."""
    return {(r["table"], r["method"], r["seed"], r["session"], r["area"], r["value"]) for r in rows}


def is_done(job, finished):
    last = {"folds": 4, "drift": 2, "days": control_jobs.TRUE, "repeats": "rotation"}
    value = last.get(job.kind, job.value)
    return (job.table, job.method, job.seed, *job.recordings[0], value) in finished


def write(recordings, found):
    """The results file: what was found, and the rows of before that it does not replace."""
    old = json.loads(PATH.read_text()) if PATH.is_file() else {"records": []}
    rows = {identity(row): row for row in old["records"]}
    rows |= {identity(row): row for _, got in sorted(found.items()) for row in got}
    seeds = sorted({row["seed"] for row in rows.values()})
    results.write_results(PATH, sessions=recordings, profile="fast", seeds=seeds, records=rows.values())
    if old["records"]:  # finished on more than one machine: say so
        content = json.loads(PATH.read_text())
        both = old["provenance"]["device"].split("; ") + [content["provenance"]["device"]]
        content["provenance"]["device"] = "; ".join(dict.fromkeys(both))
        results.write_json(PATH, content)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=-1, help="processes; default: one per core")
    parser.add_argument("--minutes", type=float, default=1e6, help="no fit starts later than this")
    parser.add_argument("--only", nargs="*", help="tables, e.g. history")
    parser.add_argument("--methods", nargs="*", help="methods, e.g. GRU")
    parser.add_argument("--areas", nargs="*", help="areas, e.g. M1 S1")
    parser.add_argument("--missing", action="store_true", help="only jobs without rows in the file")
    given = parser.parse_args()
    deadline = time.time() + 60 * given.minutes
    recordings = open_sessions("recorded")[0]
    finished = done(json.loads(PATH.read_text())["records"]) if given.missing and PATH.is_file() else set()
    asked = [
        job
        for job in plan(recordings)
        if (given.only is None or job.table in given.only)
        and (given.methods is None or job.method in given.methods)
        and (given.areas is None or job.recordings[0][1] in given.areas)
        and not is_done(job, finished)
    ]
    source = [source_digest(), versions(), *(path.read_text() for path in OWN)]
    content = {(s.name, s.area): s.digest for s in recordings}
    keys = [content_hash([j, [content[r] for r in j.recordings], source]) for j in asked]
    work = (delayed(attempt)(j, key, deadline) for j, key in zip(asked, keys, strict=True))
    place, found, failed, late = {j: i for i, j in enumerate(asked)}, {}, {}, 0
    written = time.time()
    for job, got in Parallel(n_jobs=given.jobs, return_as="generator_unordered", batch_size=1)(work):
        if got is None:
            late += 1
        elif isinstance(got, str):
            failed[got.strip().splitlines()[-1]] = got
        else:
            found[place[job]] = got
        if time.time() - written > 30:
            write(recordings, found)
            print(f"{len(found)} of {len(asked)} jobs", flush=True)
            written = time.time()
    write(recordings, found)
    print(f"{len(found)} of {len(asked)} jobs done, {late} left, {len(failed)} kinds of failure")
    print(*failed.values(), sep="\n")


if __name__ == "__main__":
    main()
