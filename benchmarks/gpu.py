"""A GPU beside the processors of the same machine: the loss, a training step, embedding, and what comes out.

    python benchmarks/gpu.py [--write]

Needs a GPU that torch sees as "cuda". Both sides of a ratio are measured in one run, alternately; medians.
--write saves the rows in book/reference/gpu.json, which chapter 9 quotes.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from speed import PERIODS, alternate, batch, fit_seconds, session_like

import nerlib
from companion import paper
from companion.catalogue import load_session
from companion.results import code, commit, device, write_json
from nerlib import experiments, losses
from nerlib._provenance import versions

RESULTS = Path(__file__).resolve().parent.parent / "book" / "reference" / "gpu.json"
PLACES = ("cuda", "cpu")
RECORDINGS = ("Chewie_20161007", "Mihili_20140303")


def finished(task):
    """The task, and a wait until the GPU has done it."""

    def run():
        task()
        torch.cuda.synchronize()

    return run


def row(what, gpu, cpu, unit, **more):
    """What both took or gave, and the processors' time in the GPU's."""
    print(f"{what}: GPU {gpu:.4g} {unit}, CPU {cpu:.4g} {unit}", flush=True)
    return {"what": what, "gpu": gpu, "cpu": cpu, "unit": unit} | more


def loss_and_gradient(n):
    """Milliseconds of the loss and its gradient for n points, each label twice; how far gradients differ."""

    def task(place):
        points, labels = (tensor.detach().to(place) for tensor in batch(n))
        points.requires_grad_()

        def run():
            points.grad = None
            losses.ner_loss(points, labels, periods=PERIODS).backward()

        return points, finished(run)

    (on_gpu, gpu), (on_cpu, cpu) = map(task, PLACES)
    gpu, cpu = alternate([gpu, cpu], 15)
    apart = (on_gpu.grad.cpu() - on_cpu.grad).abs().max() / on_cpu.grad.abs().max()
    return row(f"loss and gradient, n = {n}", 1e3 * gpu, 1e3 * cpu, "ms", gradient_difference=float(apart))


def step(name, turns=5):
    """Milliseconds of a training step at the published batch."""
    rates, labels = session_like(6_000, 70)
    make = {
        place: lambda n, place=place: paper.make_method(
            name, "paper", max_iter=n, random_state=0, device=place
        )
        for place in PLACES
    }
    taken = [[fit_seconds(make[place], (rates, labels), (50, 250)) for place in PLACES] for _ in range(turns)]
    gpu, cpu = 1e3 * np.median(taken[1:], axis=0)
    return row(f"training step, {name}, batch of 512 pairs", float(gpu), float(cpu), "ms")


def embed():
    """Million bins a second."""
    rates, labels = session_like(1_000_000, 100)
    models = [
        nerlib.NER(max_iter=5, periods=PERIODS, random_state=0, device=place).fit(rates[:5000], labels[:5000])
        for place in PLACES
    ]
    gpu, cpu = alternate([lambda m=m: m.transform(rates) for m in models], 5)
    return row("transform, 10⁶ bins × 100 neurons", 1 / gpu, 1 / cpu, "million bins/s")


def scores():
    """Held-out velocity R² of the same fit, same seed, on both: rounding alone differs."""
    sessions = [load_session(name, "M1") for name in RECORDINGS]
    found = {}
    for place in PLACES:
        records = experiments.run(
            sessions, paper.methods(["NER"], "fast", device=place), [42, 43], verbose=False
        )
        kept = [r["velocity_r2"] for r in records if r["split"] == "test" and r["protocol"] == "corrected"]
        found[place] = kept
    gpu, cpu = (float(np.mean(found[place])) for place in PLACES)
    apart = float(np.abs(np.subtract(found["cuda"], found["cpu"])).max())
    what = f"held-out velocity R², profile fast, {len(sessions)} recordings × 2 seeds"
    return row(what, gpu, cpu, "", largest_difference=apart)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"save the rows in {RESULTS.name}")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here; run this on a machine that has one")
    print(device())
    rows = [*map(loss_and_gradient, (1024, 4096)), *map(step, ("NER", "CEBRA", "MSE bottleneck"))]
    rows += [embed(), scores()]
    used = {name: number for name, number in versions().items() if name != "nerlib"}
    about = {"device": device(), "versions": used, "code": code(), "commit": commit()}
    if given.write:
        date = datetime.now(UTC).strftime("%Y-%m-%d")
        write_json(RESULTS, about | {"date": date, "cores": torch.get_num_threads(), "rows": rows})


if __name__ == "__main__":
    main()
