import hashlib
import http.server
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from nerlib.data import DataError, registry

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
        monkeypatch.setattr(registry, "GITHUB", f"{address}/blobs")
        monkeypatch.setattr(registry, "DANDI", f"{address}/api")
        entries = [replace(e, blob=BLOB) if e.name == NAME else e for e in registry.ENTRIES]
        monkeypatch.setattr(registry, "ENTRIES", entries)
        yield address
        running.shutdown()
        thread.join()


def files_below(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_the_papers_sessions():
    table = registry.list_sessions()
    assert table.name.is_unique and len(table) == 20
    assert table.monkey.value_counts().to_dict() == {"Chewie": 10, "Mihili": 6, "Han": 3, "Jenkins": 1}
    assert sum("M1" in areas for areas in table.areas) == 16
    assert sum("PMd" in areas for areas in table.areas) == 12
    assert not any(
        "PMd" in areas for name, areas in zip(table.name, table.areas, strict=True) if "_2015" in name
    )
    blobs = [entry.blob for entry in registry.ENTRIES[:-1]]
    assert len(set(blobs)) == 19 and all(len(bytes.fromhex(blob)) == 20 for blob in blobs)
    assert table.licence.tolist() == ["CC0"] * 19 + ["CC-BY-4.0"]


def test_listing_imports_nothing_heavy_and_downloads_nothing(tmp_path):
    code = (
        "import sys; from nerlib.data import list_sessions; table = list_sessions(); "
        "assert not table.present.any(); assert table['where'].str.startswith('https://').all(); "
        "heavy = {'pynwb', 'h5py', 'scipy', 'torch', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    env = {"NERLIB_CACHE": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


def test_unknown_session_names_the_close_ones():
    with pytest.raises(ValueError, match="unknown session 'Chewie_20161008'; did you mean Chewie_20161007"):
        registry.find_entry("Chewie_20161008")
    with pytest.raises(ValueError, match="there are Chewie_20150313, .*MC_Maze"):
        registry.find_entry("zzz")


def test_download_is_verified_kept_and_not_repeated(server, answers, requests_seen):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    path = registry.fetch(NAME)
    assert path.read_bytes() == PAYLOAD
    assert registry.fetch(NAME) == path
    assert requests_seen == [(f"/blobs/{BLOB}", "application/vnd.github.raw")]
    assert files_below(registry.cache_folder()) == [path.name]
    row = registry.list_sessions().set_index("name").loc[NAME]
    assert row.present and row["where"] == str(path)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (PAYLOAD[:-1] + b"x", DataError, f"102400 bytes.* expected git:{BLOB}"),
        (PAYLOAD[:1000], DataError, "1000 bytes"),
        (
            (200, PAYLOAD[:1000], len(PAYLOAD)),
            registry.Unavailable,
            "NERLIB_DATA to a folder that holds Chewie_2015",
        ),
        ((403, b"rate limit", None), registry.Unavailable, "403.*download that file by hand"),
    ],
    ids=["wrong bytes", "short", "broken off", "refused by the server"],
)
def test_a_bad_download_leaves_nothing_behind(server, answers, answer, error, message):
    answers[f"/blobs/{BLOB}"] = answer
    with pytest.raises(error, match=message):
        registry.fetch(NAME)
    assert files_below(registry.cache_folder()) == []
    assert not list(registry.cache_folder().rglob(".part-*"))


def test_no_connection(server, monkeypatch):
    monkeypatch.setattr(registry, "GITHUB", "http://127.0.0.1:9/blobs")  # nothing listens there
    with pytest.raises(
        registry.NoNetwork, match="no connection to http://127.0.0.1:9.*set the environment"
    ) as info:
        registry.fetch(NAME)
    assert isinstance(info.value, FileNotFoundError)
    assert files_below(registry.cache_folder()) == []


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, answers, requests_seen):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    path = registry.fetch(NAME)
    path.write_bytes(PAYLOAD[:500])
    assert registry.fetch(NAME).read_bytes() == PAYLOAD
    assert len(requests_seen) == 2


@pytest.mark.parametrize("subfolder", ["", "perich"])
def test_nerlib_data_comes_first(server, tmp_path, monkeypatch, requests_seen, subfolder):
    folder = tmp_path / "data" / subfolder
    folder.mkdir(parents=True)
    file = folder / registry.find_entry(NAME).file
    file.write_bytes(PAYLOAD)
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path / "data"))
    assert registry.fetch(NAME) == file and not requests_seen
    file.write_bytes(PAYLOAD[:-7])
    with pytest.raises(DataError, match=r"102393 bytes\) does not match .* truncated or changed; delete it"):
        registry.fetch(NAME)


def test_nerlib_data_must_be_a_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("NERLIB_DATA", str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match="NERLIB_DATA is .*typo, which is no folder"):
        registry.list_sessions()


def test_progress_bar_on_a_terminal_only(server, answers, monkeypatch, capsys):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    registry.fetch(NAME).unlink()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    registry.fetch(NAME)
    assert "100%" in capsys.readouterr().err


@pytest.fixture
def dandi(server, answers):
    asset, api = registry.MAZE_ASSET, f"/api/{registry.MAZE_VERSION}/assets/?path="
    listed = [{"path": asset + ".bak", "asset_id": "wrong"}, {"path": asset, "asset_id": "abc"}]
    answers[api + asset.replace("+", "%2B")] = json.dumps({"results": listed}).encode()
    digest = {"digest": {"dandi:sha2-256": hashlib.sha256(PAYLOAD).hexdigest()}}
    answers["/api/assets/abc/"] = json.dumps(digest).encode()
    answers["/api/assets/abc/download/"] = PAYLOAD
    return answers


def test_mc_maze_is_verified_against_what_dandi_says(dandi, requests_seen):
    path = registry.fetch("MC_Maze")
    assert path.read_bytes() == PAYLOAD and len(requests_seen) == 3
    assert registry.fetch("MC_Maze") == path and len(requests_seen) == 3
    path.write_bytes(PAYLOAD[:99])
    assert registry.fetch("MC_Maze").read_bytes() == PAYLOAD and len(requests_seen) == 6
    dandi["/api/assets/abc/download/"] = PAYLOAD[:99]
    path.unlink()
    with pytest.raises(DataError, match="99 bytes.* expected sha256:"):
        registry.fetch("MC_Maze")
    assert not path.exists()


@pytest.mark.parametrize("listing", [b'{"results": []}', b"<html>", b"[]"])
def test_dandi_says_something_else(dandi, listing):
    dandi[next(key for key in dandi if "?path=" in key)] = listing
    with pytest.raises(registry.Unavailable, match="MC_Maze: no answer of the expected form"):
        registry.fetch("MC_Maze")


def test_several_may_fetch_at_once(server, answers):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(registry.fetch, [NAME] * 4))
    assert [path.read_bytes() for path in paths] == [PAYLOAD]
    assert len(files_below(registry.cache_folder())) == 1
