"""Our fits at the paper's settings beside the embeddings that the authors published, on the same trials.

    NERLIB_DATA=... python benchmarks/parity_authors.py

Half an hour on one core. Writes book/reference/parity_authors.json, which chapter 10 quotes. It needs the
authors' files (`make fetch`, or NERLIB_DATA). Finished fits are cached: a second call continues where the
first one stopped.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "book"))

from companion import authors_embeddings, paper, parity, results
from companion.catalogue import cache_folder, open_sessions

SEEDS = {"NER": (42, 43), "CEBRA": (42,)}


def main():
    theirs = authors_embeddings.open_runs(methods=SEEDS)[0]
    recorded = {s.name: s for s in open_sessions("recorded", areas="M1")[0]}
    shared = [run for run in theirs if run.session.name in recorded]
    records, used = [], {}
    for run in sorted(shared, key=lambda run: run.about["method"], reverse=True):  # NER first
        session, method = recorded[run.session.name], run.about["method"]
        model = paper.make_method(method, "paper")
        ours = [parity.fit(session, model, method, s, cache_folder() / "runs") for s in SEEDS[method]]
        records += parity.compare(run, ours)
        used[session.name] = session
        seeds = sorted({record["seed"] for record in records})
        # After every recording, so that an interrupted run leaves what it has.
        results.write_results(
            parity.KEPT, sessions=list(used.values()), profile="paper", seeds=seeds, records=records
        )
        print(session.name, method, f"{records[-1]['consistency']:.4f}", flush=True)


if __name__ == "__main__":
    main()
