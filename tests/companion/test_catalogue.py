import hashlib
import http.server
import json
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from nwb_files import maze_content, write_nwb

from companion import catalogue
from companion.catalogue import load_session, open_sessions
from nerlib.data import DataError, simulate_session

PAYLOAD = bytes(range(256)) * 400
BLOB = hashlib.sha1(b"blob %d\0" % len(PAYLOAD) + PAYLOAD).hexdigest()
NAME = "Chewie_20150313"


@pytest.fixture
def answers():
    """What the local server answers: path → body, or (status, body, announced length)."""
    return {}


@pytest.fixture
def requests_seen():
    return []


@pytest.fixture
def server(answers, requests_seen, monkeypatch):
    """A server on this machine in place of GitHub and DANDI, and an empty cache."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests_seen.append((self.path, self.headers["Accept"]))
            answer = answers.get(self.path, (404, b"nothing here", None))
            status, body, length = (200, answer, None) if isinstance(answer, bytes) else answer
            self.send_response(status)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(catalogue, "GITHUB", f"{address}/blobs")
        monkeypatch.setattr(catalogue, "DANDI", f"{address}/api")
        entries = [replace(e, blob=BLOB) if e.name == NAME else e for e in catalogue.ENTRIES]
        monkeypatch.setattr(catalogue, "ENTRIES", entries)
        yield address
        running.shutdown()
        thread.join()


def files_below(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_the_papers_sessions():
    table = catalogue.list_sessions()
    assert table.name.is_unique and len(table) == 20
    assert table.monkey.value_counts().to_dict() == {"Chewie": 10, "Mihili": 6, "Han": 3, "Jenkins": 1}
    assert sum("M1" in areas for areas in table.areas) == 16
    assert sum("PMd" in areas for areas in table.areas) == 12
    assert not any(
        "PMd" in areas for name, areas in zip(table.name, table.areas, strict=True) if "_2015" in name
    )
    blobs = [entry.blob for entry in catalogue.ENTRIES[:-1]]
    assert len(set(blobs)) == 19 and all(len(bytes.fromhex(blob)) == 20 for blob in blobs)
    assert table.licence.tolist() == ["CC0"] * 19 + ["CC-BY-4.0"]


def test_listing_imports_nothing_heavy_and_downloads_nothing(tmp_path):
    code = (
        "import sys; from companion.catalogue import list_sessions; table = list_sessions(); "
        "assert not table.present.any(); assert table['where'].str.startswith('https://').all(); "
        "heavy = {'pynwb', 'h5py', 'scipy', 'torch', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    env = {"NERLIB_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


def test_unknown_session_names_the_close_ones():
    with pytest.raises(ValueError, match="unknown session 'Chewie_20161008'; did you mean Chewie_20161007"):
        catalogue.find_entry("Chewie_20161008")
    with pytest.raises(ValueError, match="there are Chewie_20150313, .*MC_Maze"):
        catalogue.find_entry("zzz")


def test_download_is_verified_kept_and_not_repeated(server, answers, requests_seen):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    path = catalogue.fetch(NAME)
    assert path.read_bytes() == PAYLOAD
    assert catalogue.fetch(NAME) == path
    assert requests_seen == [(f"/blobs/{BLOB}", "application/vnd.github.raw")]
    assert files_below(catalogue.cache_folder()) == [path.name]
    row = catalogue.list_sessions().set_index("name").loc[NAME]
    assert row.present and row["where"] == str(path)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (PAYLOAD[:-1] + b"x", DataError, f"102400 bytes.* expected git:{BLOB}"),
        (PAYLOAD[:1000], DataError, "1000 bytes"),
        (
            (200, PAYLOAD[:1000], len(PAYLOAD)),
            catalogue.Unavailable,
            "NERLIB_DATA to a folder that holds Chewie_2015",
        ),
        ((403, b"rate limit", None), catalogue.Unavailable, "403.*download that file by hand"),
    ],
    ids=["wrong bytes", "short", "broken off", "refused by the server"],
)
def test_a_bad_download_leaves_nothing_behind(server, answers, answer, error, message):
    answers[f"/blobs/{BLOB}"] = answer
    with pytest.raises(error, match=message):
        catalogue.fetch(NAME)
    assert files_below(catalogue.cache_folder()) == []
    assert not list(catalogue.cache_folder().rglob("*.partial"))


def test_no_connection(server, monkeypatch):
    monkeypatch.setattr(catalogue, "GITHUB", "http://127.0.0.1:9/blobs")  # nothing listens there
    with pytest.raises(
        catalogue.NoNetwork, match="no connection to http://127.0.0.1:9.*Set NERLIB_DATA"
    ) as info:
        catalogue.fetch(NAME)
    assert isinstance(info.value, FileNotFoundError)
    assert files_below(catalogue.cache_folder()) == []


@pytest.mark.parametrize("name", [NAME, "MC_Maze"])
def test_a_missing_download_shows_one_message(server, monkeypatch, name):
    monkeypatch.setattr(catalogue, "GITHUB", "http://127.0.0.1:9/blobs")
    monkeypatch.setattr(catalogue, "DANDI", "http://127.0.0.1:9/api")
    with pytest.raises(catalogue.NoNetwork) as info:
        load_session(name)
    text = "".join(traceback.format_exception(info.value))
    assert text.count("Traceback") == 1 and text.count(f"{name}: no connection to http") == 1
    assert "During handling" not in text and "direct cause" not in text


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, answers, requests_seen):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    path = catalogue.fetch(NAME)
    path.write_bytes(PAYLOAD[:500])
    assert catalogue.fetch(NAME).read_bytes() == PAYLOAD
    assert len(requests_seen) == 2


@pytest.mark.parametrize("subfolder", ["", "perich"])
def test_nerlib_data_comes_first(server, tmp_path, monkeypatch, requests_seen, subfolder):
    folder = tmp_path / "data" / subfolder
    folder.mkdir(parents=True)
    file = folder / catalogue.find_entry(NAME).file
    file.write_bytes(PAYLOAD)
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path / "data"))
    assert catalogue.fetch(NAME) == file and not requests_seen
    file.write_bytes(PAYLOAD[:-7])
    with pytest.raises(DataError, match=r"102393 bytes\) does not match .* truncated or changed; delete it"):
        catalogue.fetch(NAME)


def test_nerlib_data_must_be_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match="NERLIB_DATA is .*typo, which is not a folder"):
        catalogue.list_sessions()


def test_progress_bar_on_a_terminal_only(server, answers, monkeypatch, capsys):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    catalogue.fetch(NAME).unlink()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    catalogue.fetch(NAME)
    assert "100%" in capsys.readouterr().err


@pytest.fixture
def dandi(server, answers):
    asset, api = catalogue.MAZE_ASSET, f"/api/{catalogue.MAZE_VERSION}/assets/?path="
    listed = [{"path": asset + ".bak", "asset_id": "wrong"}, {"path": asset, "asset_id": "abc"}]
    answers[api + asset.replace("+", "%2B")] = json.dumps({"results": listed}).encode()
    digest = {"digest": {"dandi:sha2-256": hashlib.sha256(PAYLOAD).hexdigest()}}
    answers["/api/assets/abc/"] = json.dumps(digest).encode()
    answers["/api/assets/abc/download/"] = PAYLOAD
    return answers


def test_mc_maze_is_verified_against_what_dandi_says(dandi, requests_seen):
    path = catalogue.fetch("MC_Maze")
    assert path.read_bytes() == PAYLOAD and len(requests_seen) == 3
    assert catalogue.fetch("MC_Maze") == path and len(requests_seen) == 3
    path.write_bytes(PAYLOAD[:99])
    assert catalogue.fetch("MC_Maze").read_bytes() == PAYLOAD and len(requests_seen) == 6
    dandi["/api/assets/abc/download/"] = PAYLOAD[:99]
    path.unlink()
    with pytest.raises(DataError, match="99 bytes.* expected sha256:"):
        catalogue.fetch("MC_Maze")
    assert not path.exists()


@pytest.mark.parametrize("listing", [b'{"results": []}', b"<html>", b"[]"])
def test_dandi_says_something_else(dandi, listing):
    dandi[next(key for key in dandi if "?path=" in key)] = listing
    with pytest.raises(catalogue.Unavailable, match="MC_Maze: no answer of the expected form"):
        catalogue.fetch("MC_Maze")


def test_several_may_fetch_at_once(server, answers):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(catalogue.fetch, [NAME] * 4))
    assert [path.read_bytes() for path in paths] == [PAYLOAD]
    assert len(files_below(catalogue.cache_folder())) == 1


def test_load_session(recorded):
    if catalogue.find_entry("Chewie_20161007").path is None:
        pytest.skip("Chewie_20161007 is not in the data folder")
    assert load_session("Chewie_20161007").area == "M1"
    session = load_session("Chewie_20161007", area="PMd")
    assert session.name == "Chewie_20161007" and session.rates.shape == (6720, 137)


def test_load_session_says_what_there_is(recorded):
    with pytest.raises(ValueError, match="unknown session 'Chewie_2016107'; did you mean Chewie_20161007"):
        load_session("Chewie_2016107")
    with pytest.raises(ValueError, match="Chewie_20150629 has no area 'PMd'; it has M1"):
        load_session("Chewie_20150629", "PMd")


def test_mc_maze_is_read_from_nerlib_data(tmp_path, monkeypatch):
    entry = catalogue.find_entry("MC_Maze")
    (tmp_path / "nwb").mkdir()
    write_nwb(tmp_path / "nwb" / entry.file, **maze_content())
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path))
    with pytest.warns(UserWarning, match="left out trials: 1 too short"):
        session = load_session("MC_Maze")
    assert session.name == "MC_Maze" and session.area == "M1+PMd" and session.n_trials == 4


def test_recorded_sessions_and_what_is_absent(recorded, monkeypatch):
    tried = []

    def no_network(entry, *rest, **options):
        tried.append(entry.name)
        raise catalogue.NoNetwork(f"{entry.name}: no connection")

    monkeypatch.setattr(catalogue, "_get", no_network)
    sessions, absent = open_sessions("recorded")
    table = catalogue.list_sessions().query("name != 'MC_Maze'")
    here, missing = table[table.present], table[~table.present]
    assert [(s.name, s.area) for s in sessions] == [
        (n, a) for n, areas in zip(here.name, here.areas, strict=True) for a in areas
    ]
    expected = [(n, a) for n, areas in zip(missing.name, missing.areas, strict=True) for a in areas]
    assert [entry[:2] for entry in absent] == expected
    assert not any(session.simulated for session in sessions)
    assert tried == missing.name.tolist()[:1]  # the network is tried once
    reasons = {reason for *_, reason in absent}
    assert all("no network" in reason for reason in reasons) and len(reasons) <= 1


def test_names_areas_and_trials_of_recorded_sessions(recorded):
    if catalogue.find_entry("Chewie_20161007").path is None:
        pytest.skip("Chewie_20161007 is not in the data folder")
    names = ["Chewie_20161007", "Han_20171201"]
    sessions, absent = open_sessions("recorded", names, ["PMd"], n_trials=12)
    assert [(s.name, s.area, s.n_trials) for s in sessions] == [("Chewie_20161007", "PMd", 12)]
    assert absent == [("Han_20171201", "PMd", "was recorded in S1 only")]
    sessions, absent = open_sessions("recorded", areas="S1")
    assert {s.area for s in sessions} == {"S1"} and not absent
    with pytest.raises(ValueError, match="unknown session 'Chewie_1999'"):
        open_sessions("recorded", ["Chewie_1999"])


def test_a_damaged_recording_is_an_error_not_an_absence(tmp_path, monkeypatch):
    (tmp_path / catalogue.find_entry("Han_20171201").file).write_bytes(b"half a file")
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"\(11 bytes\) does not match"):
        open_sessions("recorded", "Han_20171201")


def test_simulated_sessions():
    sessions, absent = open_sessions("simulated", n_trials=8)
    assert [s.name for s in sessions] == [
        *(f"Sim_M1_day{day:03d}" for day in (0, 30)),
        "Sim_PMd_day000",
        "Sim_S1_day000",
    ]
    assert absent == [] and all(s.simulated and s.n_trials == 8 for s in sessions)
    (one,), _ = open_sessions("simulated", ["Sim_M1_day005"], n_trials=8, seed=2)
    assert one.digest == simulate_session(2, "M1", day=5, n_trials=8).digest
    chosen, _ = open_sessions("simulated", areas=["PMd"], n_trials=2)
    assert [s.area for s in chosen] == ["PMd"]


def test_open_sessions_says_what_there_is():
    with pytest.raises(ValueError, match='data must be "simulated" or "recorded", got \'real\''):
        open_sessions("real")
    with pytest.raises(
        ValueError, match="unknown simulated session 'Chewie_20161007'; names look like Sim_M1_day000"
    ):
        open_sessions("simulated", ["Chewie_20161007"])
    with pytest.raises(ValueError, match="unknown area 'V1'; there are M1, PMd, S1"):
        open_sessions("recorded", areas=["V1"])
