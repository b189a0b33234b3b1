"""Speed of the library, compared with alternatives measured in the same run; nothing here is a test.

    python benchmarks/speed.py [--only NAME ...] [--write]

Prints a table. --write saves it in the README and in book/reference/speed.json, which chapter 9 quotes; rows
of parts that were not run stay, with their date and commit.
Run it on an otherwise idle machine. Both sides of a ratio are measured in the same run: training steps, sizes
and sessions alternate, and medians are reported; what takes minutes is measured once.
Each part runs in its own process: memory left over from an earlier part changes the time of a training step
of the cebra package.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

import nerlib
from companion import paper
from companion.catalogue import load_session, open_sessions
from companion.results import code, commit, device, write_json
from nerlib import experiments, losses
from nerlib._provenance import versions

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "book" / "reference" / "speed.json"
PERIODS = (None, None, 360.0)  # of velocity x, y and direction
ROWS = []


def row(what, value, unit, goal, holds, **more):
    """One line of the table, printed at once."""
    ROWS.append({"what": what, "value": value, "unit": unit, "goal": goal, "holds": bool(holds), **more})
    print(f"{'holds ' if holds else 'MISSED'}  {what}: {value:.3g} {unit} (goal {goal})", flush=True)


def seconds(task, repeats, warm=1):
    """Median over repeats, after warm-up runs that do not count."""
    times = []
    for _ in range(warm + repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return float(np.median(times[warm:]))


def alternate(tasks, repeats):
    """Median seconds of each task; tasks alternate, so that other load on the machine affects all alike."""
    times = [[] for _ in tasks]
    for _ in range(repeats + 1):
        for task, taken in zip(tasks, times, strict=True):
            start = time.perf_counter()
            task()
            taken.append(time.perf_counter() - start)
    return [float(np.median(taken[1:])) for taken in times]


def resident():
    """Bytes of memory that this process holds (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grown_memory(task, n):
    """Peak growth of the process in bytes during ``task(n)``, sampled every millisecond."""
    task(64)
    before, seen, done = resident(), [], threading.Event()

    def watch():
        while not done.wait(0.001):
            seen.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    task(n)
    done.set()
    watcher.join()
    return max(seen, default=before) - before


def in_a_fresh_process(task, *arguments):
    """What a function of this module returns when it is called in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(task, *arguments).result()


def batch(n, copies=2):
    """Points on the sphere (n, 3) and their labels, each of which occurs twice, as in training."""
    rng = np.random.default_rng(0)
    m = n // copies
    labels = np.column_stack([rng.normal(0, 150, (m, 2)), 45.0 * rng.integers(0, 8, m)])
    points = torch.nn.functional.normalize(torch.as_tensor(rng.normal(size=(n, 3)))).float()
    return points.requires_grad_(), torch.as_tensor(labels, dtype=torch.float32).repeat(copies, 1)


def loop_over_pairs(points, distances):
    """The formula as written, one pair (i, j) after the other: O(n) work for each."""
    n, total = len(points), 0.0
    others = ~torch.eye(n, dtype=bool)
    similarity = -torch.cdist(points, points)[others].view(n, n - 1)
    for row, to in zip(similarity, distances[others].view(n, n - 1), strict=True):
        exp_similarity = row.exp()
        total = total - row.sum() + sum(exp_similarity[to >= distance].sum().log() for distance in to)
    return total / (n * (n - 1))


def loop_over_columns(points, distances):
    """The formula with a loop over the columns j, all rows i at once: O(n²) work for each."""
    n = len(points)
    others = ~torch.eye(n, dtype=bool)
    similarity = -torch.cdist(points, points)[others].view(n, n - 1)
    distances = distances[others].view(n, n - 1)
    exp_similarity, total = similarity.exp(), 0.0
    for j in range(n - 1):
        farther = (distances >= distances[:, j : j + 1]).float()
        total = total - (similarity[:, j] - (farther * exp_similarity).sum(dim=1).log()).sum()
    return total / (n * (n - 1))


def library(points, labels):
    losses.ner_loss(points, labels, periods=PERIODS).backward()


def library_without_copies(n):
    library(*batch(n, copies=1))


def time_loop(loop, repeats):
    """Median seconds of loss and gradient by a loop, bytes that the first pass holds, and the gradient."""
    points, labels = batch(1024)
    distances = losses.label_distances(labels, PERIODS)
    before, held, times = resident(), None, []
    for _ in range(repeats):
        points.grad = None
        start = time.perf_counter()
        loss = loop(points, distances)
        held = held or resident() - before
        loss.backward()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), held, points.grad.numpy()


def loss_against_the_loops():
    points, labels = batch(1024)
    library(points, labels)
    gradient = points.grad.numpy().copy()
    different = batch(1024, copies=1)
    quick, without_copies = alternate([lambda: library(points, labels), lambda: library(*different)], 100)
    loops = [in_a_fresh_process(time_loop, *job) for job in ((loop_over_pairs, 1), (loop_over_columns, 7))]
    assert all(np.allclose(found, gradient, atol=1e-7) for *_, found in loops)
    told = [f"({slow:.2g} s, {held / 1e9:.1f} GB)" for slow, held, _ in loops]
    for what, (slow, held, _), taken in (
        (f"against the formula as written, a loop over pairs {told[0]}", loops[0], quick),
        ("no label twice, against the same loop", loops[0], without_copies),
        (f"against a loop over columns, each of them all rows at once {told[1]}", loops[1], quick),
    ):
        row(f"loss and gradient, n = 1024, {what}", slow / taken, "× faster", "≥ 3000",
            slow / taken >= 3000, seconds=taken, loop_seconds=slow, loop_bytes=held)  # fmt: skip
    grown = in_a_fresh_process(grown_memory, library_without_copies, 1024) / 1e6
    row("loss and gradient, n = 1024, memory beyond input and output", grown, "MB", "≤ 50", grown <= 50)


def loss_over_n():
    sizes = [256, 512, 1024, 2048, 4096]
    times = []
    for copies in (2, 1):
        data = [batch(n, copies) for n in sizes]
        times.append(alternate([lambda b=b: library(*b) for b in data], 9))
    exponents = [float(np.polyfit(np.log(sizes), np.log(taken), 1)[0]) for taken in times]
    row("loss over n from 256 to 4096: exponent of n, the larger of labels twice and once", max(exponents),
        "", "≤ 2.1", max(exponents) <= 2.1, sizes=sizes, exponents=exponents, seconds=times)  # fmt: skip
    grown = in_a_fresh_process(grown_memory, library_without_copies, 8192)
    row("loss and gradient, n = 8192, memory", grown / 1e9, "GB", "≤ 2", grown <= 2e9)


def session_like(n_bins, n_neurons, seed=0):
    rng = np.random.default_rng(seed)
    rates = rng.random((n_bins, n_neurons), dtype=np.float32)
    velocity = 150 * np.sin(np.arange(n_bins)[:, None] * [0.13, 0.29] + rng.random((n_bins, 2)))
    return rates, np.column_stack([velocity, 45.0 * (np.arange(n_bins) // 40 % 8)])


def fit_seconds(make, data, steps):
    """Seconds per step: the difference of two fits, so that the start does not count."""
    times = []
    for n in steps:
        model = make(n)
        start = time.perf_counter()
        model.fit(*data)
        times.append(time.perf_counter() - start)
    return (times[1] - times[0]) / (steps[1] - steps[0])


def step_against_cebra():
    import cebra

    rates, labels = session_like(6_000, 70)
    labels = labels.astype(np.float32)

    def theirs(n):
        return cebra.CEBRA(
            model_architecture="offset1-model", num_hidden_units=32, output_dimension=3, batch_size=512,
            learning_rate=1e-4, temperature=1.0, max_iterations=n, distance="cosine", time_offsets=1,
            conditional="time_delta", device="cpu",
        )  # fmt: skip

    def ours(n):
        return nerlib.NER(max_iter=n, batch_size=512, periods=PERIODS, random_state=0)

    times = [[fit_seconds(make, (rates, labels), (50, 250)) for make in (ours, theirs)] for _ in range(9)]
    ratios = np.divide(*np.transpose(times[1:]))  # the first turn still loads code
    ratio = float(np.median(ratios))
    row(f"whole NER training step against the step of the cebra package ({ratios.min():.2f} to "
        f"{ratios.max():.2f} in {len(ratios)} turns)", ratio, "×", "≤ 0.4", ratio <= 0.4,
        seconds=times)  # fmt: skip


def step_against_our_cebra():
    """The paper: NER takes about twice the time of CEBRA. Same network, sampling, loop and batch."""
    train = load_session("Chewie_20161007", "M1").split()[0]
    data = train.rates, train.labels, train.trial

    def making(name):
        return lambda n: paper.make_method(name, "paper", random_state=0, max_iter=n)

    pair = [making(name) for name in ("NER", "CEBRA")]
    times = [[fit_seconds(make, data, (50, 250)) for make in pair] for _ in range(17)]
    ratios = np.divide(*np.transpose(times[1:]))
    ratio = float(np.median(ratios))
    row(f"whole NER training step against a step of our CEBRA ({ratios.min():.2f} to {ratios.max():.2f} in "
        f"{len(ratios)} turns; the paper: about 2)", ratio, "×", "2 ± 0.5", abs(ratio - 2) <= 0.5,
        ratios=ratios.tolist())  # fmt: skip


def one_fit(n_bins):
    nerlib.NER(max_iter=32, batch_size=512, periods=PERIODS, random_state=0).fit(*session_like(n_bins, 10))


def step_over_bins():
    sizes = (10_000, 10_000_000)
    data = [session_like(n, 10) for n in sizes]

    def make(n):
        return nerlib.NER(max_iter=n, batch_size=512, periods=PERIODS, random_state=0)

    times = np.median([[fit_seconds(make, d, (64, 448)) for d in data] for _ in range(3)], axis=0)
    ratio = times[1] / times[0]
    row("step, session of 10⁷ against 10⁴ bins", ratio, "×", "≤ 1.3", ratio <= 1.3, seconds=times.tolist())
    grown = [in_a_fresh_process(grown_memory, one_fit, n) / n for n in (1_000_000, 10_000_000)]
    row("memory of a session and its fit, a bin, 10⁷ against 10⁶ bins (1: linear)", grown[1] / grown[0], "×",
        "≤ 1.3", grown[1] <= 1.3 * grown[0], bytes_per_bin=grown)  # fmt: skip


def transform():
    rates, labels = session_like(1_000_000, 100)
    model = nerlib.NER(max_iter=5, periods=PERIODS, random_state=0).fit(rates[:5000], labels[:5000])
    rate = len(rates) / seconds(lambda: model.transform(rates), 5)
    row("transform, 10⁶ bins × 100 neurons", rate / 1e6, "million bins/s", "≥ 2", rate >= 2e6)
    one = 1e6 * seconds(lambda: model.transform(rates[:1]), 2000, warm=100)
    row("transform, one bin", one, "µs", "≤ 100", one <= 100)


def importing():
    code = "import torch, numpy, time; t = time.perf_counter(); import nerlib; print(time.perf_counter() - t)"
    done = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True) for _ in range(5)]
    taken = float(np.median([float(run.stdout) for run in done]))
    row("import nerlib, beyond torch and numpy", taken, "s", "≤ 0.3", taken <= 0.3)


def recordings():
    """Profile `fast`: one recording; and all of them, three seeds, against one at the paper's settings."""
    sessions, _ = open_sessions("recorded")
    longest = max(sessions, key=lambda s: len(s.trial))
    train = longest.split()[0]
    model = paper.make_method("NER", "fast", random_state=42)
    taken = seconds(lambda: model.fit(train.rates, train.labels, train.trial), 2)
    row(
        f"profile fast, the longest recording ({longest.name} {longest.area})",
        taken,
        "s",
        "≤ 10",
        taken <= 10,
    )
    start = time.perf_counter()
    paper.make_method("NER", "paper", random_state=42).fit(train.rates, train.labels, train.trial)
    one = time.perf_counter() - start
    start = time.perf_counter()
    experiments.embed(sessions, paper.methods(["NER"], "fast"), [42, 43, 44], verbose=False)
    every = time.perf_counter() - start
    row(f"all {len(sessions)} recordings × 3 seeds, fast, against one at the paper's settings", every / one,
        "×", "≤ 1", every <= one, seconds=every, one_seconds=one)  # fmt: skip


def profiles():
    """Held-out scores of `fast` minus those of the paper's settings, means over seeds.

    `fast` was chosen on validation trials (validation.py), with other seeds than those used here.
    """
    sessions, _ = open_sessions("recorded")
    fast = experiments.run(sessions, paper.methods(["NER"], "fast"), range(48, 60), verbose=False)
    published = json.loads((RESULTS.parent / "paper_settings.json").read_text())["records"]
    asked = {"method": "NER", "split": "test", "protocol": "corrected", "decoder": "linear"}
    tables = {
        name: pd.DataFrame([r for r in records if asked.items() <= r.items()])
        for name, records in (("fast", fast), ("paper", published))
    }
    seeds = {name: sorted(set(table["seed"])) for name, table in tables.items()}
    for what, metrics in (
        ("R² of velocity and position", ["velocity_r2", "position_r2"]),
        ("direction accuracy", ["direction_accuracy"]),
    ):
        quick, slow = (table.groupby(["session", "area"])[metrics] for table in tables.values())
        more = quick.mean() - slow.mean()
        errors = (quick.sem() ** 2 + slow.sem() ** 2) ** 0.5
        assert len(more) == len(sessions) and more.notna().all(axis=None)
        name, where = more.min().idxmin(), more.min(axis=1).idxmin()
        worst, error, held = more.loc[where, name], errors.loc[where, name], (more >= -0.01).sum(axis=None)
        each = more.join(errors.add_suffix("_standard_error")).to_dict("index")
        row(f"held-out {what}, fast less paper, the worst of {more.size} ({' '.join(where)}, ± {error:.3f}; "
            f"{held} hold)", worst, "", "≥ −0.01", worst >= -0.01, mean=more.mean().to_dict(), seeds=seeds,
            recordings={" ".join(name): values for name, values in each.items()})  # fmt: skip


PARTS = {f.__name__: f for f in (loss_against_the_loops, loss_over_n, step_against_cebra,
                                 step_against_our_cebra, step_over_bins,
                                 transform, importing, recordings, profiles)}  # fmt: skip


QUOTED = ("step_against_cebra", "transform", "importing", "recordings")  # in the README


def measured(name):
    """The rows of one part."""
    PARTS[name]()
    return ROWS


def table(content):
    """What a user waits for, in Markdown, with machine and versions; chapter 9 of the book has all rows."""
    lines = ["| | measured | goal | |", "|---|---|---|---|"]
    for r in (row for row in content["rows"] if row["part"] in QUOTED):
        value = format(r["value"], ",.0f" if r["value"] >= 1000 else ".3g").replace("-", "−")
        missed = "" if r["holds"] else "missed"
        lines.append(f"| {r['what']} | {value} {r['unit']} | {r['goal']} | {missed} |")
    used = ", ".join(f"{name} {content['versions'][name]}" for name in ("torch", "numpy", "numba", "cebra"))
    dates = " and ".join(sorted({r["date"] for r in content["rows"]}))
    lines += ["", f"{content['device']}; {dates}; both sides of a ratio in one run; {used}."]
    return "\n".join(lines)


def quote(content):
    """Put the table into the README."""
    text = README.read_text()
    mark = "<!-- speed: written by benchmarks/speed.py --write -->\n"
    before, rest = text.split(mark)
    after = rest[rest.index("<!-- /speed") :]
    README.write_text(f"{before}{mark}{table(content)}\n{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--write", action="store_true", help=f"save the table in {RESULTS.name} and README")
    given = parser.parse_args()
    origin = {"code": code(), "commit": commit(), "date": datetime.now(UTC).strftime("%Y-%m-%d")}
    kept = json.loads(RESULTS.read_text())
    rows = {name: [row for row in kept["rows"] if row["part"] == name] for name in PARTS}
    for name in given.only:
        rows[name] = [row | {"part": name} | origin for row in in_a_fresh_process(measured, name)]
    used = {name: number for name, number in versions().items() if name != "nerlib"}  # rows have commits
    about = {"device": device(), "versions": used | {"cebra": version("cebra")}}
    content = about | {"rows": [row for name in PARTS for row in rows[name]]}
    print(content["device"])
    if given.write:
        if given.only != list(PARTS) and about != {key: kept[key] for key in about}:
            sys.exit("other rows were measured with another device or other versions; run all parts")
        write_json(RESULTS, content)
        quote(content)


if __name__ == "__main__":
    main()
