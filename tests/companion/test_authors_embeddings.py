"""The authors' embeddings: a small file by hand, and their scores against the published ones."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion import audit, authors_embeddings, comparison
from companion.catalogue import Unavailable
from nerlib.data import DataError
from nerlib.runs import score_run

BOOK = Path(__file__).resolve().parents[2] / "book"
DIGITS = 5.1e-5  # four digits, rounded


@pytest.fixture
def content():
    """Ten trials of two directions; velocity is twice the embedding, plus noise on the test trials."""
    rng = np.random.default_rng(0)
    angle = np.tile([0.0, 0.0, 90.0, 90.0, 90.0], 2).repeat(40)
    embedding = rng.normal(size=(400, 2))
    embedding[:, 0] += angle / 30
    velocity = 2 * embedding + np.r_[np.zeros((280, 2)), rng.normal(size=(120, 2))]
    labels, made = np.column_stack([velocity, angle]), {}
    for split, part in (("train", slice(280)), ("test", slice(280, None))):  # 7 of 10, as pi-VAE may have it
        made |= {f"cebra_veldir_{split}": embedding[part], f"continuous_index_{split}": labels[part]}
    return made


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that puts a file into a data folder, and returns its entry."""
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path))
    (tmp_path / "authors_embeddings").mkdir()

    def write(content):
        entry = authors_embeddings.ENTRIES[-1]
        path = tmp_path / "authors_embeddings" / entry.file
        np.savez(path, **content)
        data = path.read_bytes()
        return replace(entry, blob=hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())

    return write


def test_the_list_names_all_files_of_the_audit():
    files = pd.DataFrame(authors_embeddings.ENTRIES)
    assert len(files) == 56 and files["file"].is_unique and files["blob"].str.fullmatch("[0-9a-f]{40}").all()
    assert files.groupby("method").size().to_dict() == {"CEBRA": 18, "CEBRA-16": 10, "NER": 18, "piVAE": 10}


def test_a_small_file_becomes_a_run(write, content):
    run = authors_embeddings.read_run(write(content))
    assert run.splits["train"].n_trials == run.n_train == 7 and run.splits["test"].n_trials == 3
    np.testing.assert_array_equal(run.splits["test"].velocity, content["continuous_index_test"][:, :2])
    rows = {(row["split"], row["protocol"]): row for row in score_run(run)}
    assert rows["train", "corrected"]["velocity_r2"] == pytest.approx(1)
    true, decoded = run.splits["test"].velocity, 2 * run.corrected["test"]
    error = np.square(true - decoded).sum(axis=0)
    for protocol, of in (("corrected", true), ("published", decoded)):
        expected = 1 - (error / np.square(of - of.mean(axis=0)).sum(axis=0)).mean()
        assert rows["test", protocol]["velocity_r2"] == pytest.approx(expected)


def test_a_run_transfers_to_its_rotated_copy(write, content):
    run = authors_embeddings.read_run(write(content))
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    turned = {split: z @ turn for split, z in run.corrected.items()}
    copy = replace(run, corrected=turned, published=turned, about=run.about | {"session": "copy"})
    rows = pd.DataFrame(authors_embeddings.score_transfers([run, copy])).query("protocol == 'corrected'")
    assert len(rows) == 4 and np.ptp(rows["velocity_r2"]) < 1e-9


def test_another_file_is_refused(write, content):
    with pytest.raises(DataError, match="does not match its checksum"):
        authors_embeddings.read_run(replace(write(content), blob="0" * 40))
    content["cebra_veldir_test"] = content["cebra_veldir_test"][:-1]
    with pytest.raises(DataError, match=r"whole trials of 40 bins, got \[280, 119\]"):
        authors_embeddings.read_run(write(content))
    del content["cebra_veldir_test"]
    with pytest.raises(DataError, match="not an embedding of the authors.*cebra_veldir_test"):
        authors_embeddings.read_run(write(content))


def test_pickled_objects_are_never_loaded(write, content):
    content["cebra_veldir_train"] = np.array([{"a": 1}], dtype=object)
    with pytest.raises(DataError, match="allow_pickle=False"):
        authors_embeddings.read_run(write(content))


def test_absent_files_are_named():
    runs, absent = authors_embeddings.open_runs("M1")
    assert not runs and len(absent) == 40
    with pytest.raises(Unavailable, match="`make fetch` downloads it"):
        authors_embeddings.read_run(authors_embeddings.ENTRIES[0])


@pytest.fixture(scope="module")
def runs(embeddings_folder):
    """The authors' embeddings by area."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERLIB_DATA", str(embeddings_folder))
        return {area: authors_embeddings.open_runs(area)[0] for area in ("M1", "M1+PMd")}


@pytest.fixture(scope="module")
def within(runs):
    return {area: authors_embeddings.score_runs(its) for area, its in runs.items()}


def test_scores_within_sessions_are_the_published_ones(within):
    """R² to four digits. A logistic regression that stops early leaves a few trials' directions open."""
    scores = comparison.compare(within["M1"], BOOK / "reference" / "published_within_session.csv")
    scores = scores.dropna(subset="paper")
    off = (scores["ours"] - scores["paper"]).abs().groupby(scores["metric"]).max()
    assert len(scores) == 27 * 2 * 3  # files with values in the paper, splits, metrics
    assert off["velocity_r2"] < DIGITS and off["position_r2"] < DIGITS and off["direction_accuracy"] < 0.007


def test_straight_and_curved_reaches_are_told_apart(runs):
    for run in runs["M1+PMd"]:
        assert len(run.versions) == run.session.n_trials and run.session.bin_width == 0.005
        assert (run.versions.min() > 0) == ("curve-up-down" in run.session.name)


def test_training_scores_of_curved_reaches_are_the_published_ones(within):
    paper = pd.read_csv(BOOK / "reference" / "published_curved_reaches.csv")
    paper["session"] = "MC_Maze " + paper["task"] + " " + paper["trial_types"]
    ours = pd.DataFrame(within["M1+PMd"]).query("split == 'train' and protocol == 'published'")
    both = ours.merge(paper, on=["session", "method"])
    assert len(both) == 16
    for metric in ("velocity_r2", "position_r2"):
        assert (both[metric] - both[f"{metric}_train"]).abs().max() < DIGITS


REFERENCES = {"within": "M1", "curved": "M1+PMd", "cross": None}


@pytest.mark.parametrize("which", REFERENCES)
def test_held_out_scores_are_those_that_were_found_before(reference_folder, runs, within, which):
    """Measured once with other code: rotations and decoders from training trials alone."""
    reference = pd.read_csv(reference_folder / f"authors_rescored_{which}.csv", dtype=str)
    key = ["date", "area", "method"]
    if which == "curved":
        reference["session"] = "MC_Maze " + reference["task"] + " " + reference["trial_types"]
        key = ["session", "method"]
    if which == "cross":
        reference = reference.rename(columns={"source_date": "date"})
        few = [run for run in runs["M1"] if run.about["method"] in ("NER", "CEBRA")]
        records, key = authors_embeddings.score_transfers(few), [*key, "target_date"]
    else:
        records = [row for row in within[REFERENCES[which]] if row["split"] == "test"]
    ours = pd.DataFrame(records).query("protocol == 'corrected'")
    both = ours.merge(reference, on=key)
    assert len(both) == {"within": 34, "curved": 16, "cross": 132}[which]
    for metric in ("velocity_r2", "position_r2"):
        assert (both[metric] - both[f"{metric}_test"].astype(float)).abs().max() < 1e-3, metric


def test_kept_scores_are_those_of_the_files(within):
    kept = audit.tables(json.loads(authors_embeddings.KEPT.read_text())["records"])
    key = ["session", "method", "split", "protocol"]
    for table, area in (("within", "M1"), ("curved", "M1+PMd")):
        both = pd.DataFrame(kept[table]).merge(pd.DataFrame(within[area]), on=key, suffixes=("", "_now"))
        assert len(both) == len(kept[table]) == len(within[area])
        for metric in comparison.METRICS:
            assert (both[metric] - both[f"{metric}_now"]).abs().max() < (0.01 if "dir" in metric else 1e-5)
