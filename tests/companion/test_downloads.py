"""Downloads of the sessions that are not bundled, from a server on this machine."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from companion import catalogue, downloads
from nerlib.data import DataError

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
            requests_seen.append((self.path, self.headers["Accept"], self.headers["Range"]))
            answer = answers.get(self.path, (404, b"nothing here", None))
            status, body, length = (200, answer, None) if isinstance(answer, bytes) else answer
            if self.headers["Range"] and status == 200 and "whole" not in answers:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                status, body = (206, body[start:]) if start < len(body) else (416, b"")
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
        use_address(monkeypatch, address)
        entries = [replace(e, blob=BLOB) if e.name == NAME else e for e in catalogue.ENTRIES]
        for module in (catalogue, downloads):
            monkeypatch.setattr(module, "ENTRIES", entries)
        yield address
        running.shutdown()
        thread.join()


def use_address(monkeypatch, address):
    for module in (catalogue, downloads):
        monkeypatch.setattr(module, "GITHUB", f"{address}/blobs")
        monkeypatch.setattr(module, "DANDI", f"{address}/api")


def fetch(name):
    return downloads.fetch(catalogue.find_entry(name))


def files_below(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


def test_download_is_verified_kept_and_not_repeated(server, answers, requests_seen):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    path = fetch(NAME)
    assert path.read_bytes() == PAYLOAD
    assert fetch(NAME) == path
    assert requests_seen == [(f"/blobs/{BLOB}", "application/vnd.github.raw", None)]
    assert files_below(catalogue.cache_folder()) == [path.name]
    assert catalogue.find_entry(NAME).path == path


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (PAYLOAD[:-1] + b"x", DataError, f"102400 bytes.* expected git:{BLOB}"),
        (PAYLOAD[:1000], DataError, "1000 bytes"),
        ((403, b"rate limit", None), catalogue.Unavailable, "403.*or download Chewie_20150313.* by hand"),
    ],
    ids=["wrong bytes", "short", "refused by the server"],
)
def test_a_bad_download_leaves_no_content_behind(server, answers, answer, error, message):
    answers[f"/blobs/{BLOB}"] = answer
    with pytest.raises(error, match=message):
        fetch(NAME)
    assert not any(path.stat().st_size for path in catalogue.cache_folder().rglob("*") if path.is_file())
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    assert fetch(NAME).read_bytes() == PAYLOAD


@pytest.mark.parametrize("resumes", [True, False], ids=["server resumes", "server sends the whole file"])
def test_a_download_that_broke_off_goes_on(server, answers, requests_seen, resumes):
    answers[f"/blobs/{BLOB}"] = (200, PAYLOAD[:70_000], len(PAYLOAD))
    with pytest.raises(catalogue.Unavailable, match="Run `make fetch` again"):
        fetch(NAME)
    partial = catalogue.find_entry(NAME).cached.with_name(catalogue.find_entry(NAME).file + ".partial")
    size = partial.stat().st_size
    assert 0 < size <= 70_000 and catalogue.find_entry(NAME).path is None
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    if not resumes:
        answers["whole"] = b""
    assert fetch(NAME).read_bytes() == PAYLOAD and not partial.exists()
    assert requests_seen[-1][2] == f"bytes={size}-"


def test_what_is_longer_than_the_file_is_thrown_away(server, answers):
    path = catalogue.find_entry(NAME).cached
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}.partial").write_bytes(PAYLOAD + b"more")
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    with pytest.raises(catalogue.Unavailable, match="416"):
        fetch(NAME)
    assert fetch(NAME).read_bytes() == PAYLOAD


def test_fetch_all_goes_on_after_a_failure_and_names_it(server, answers, capsys):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    failures = downloads.fetch_all(["Chewie_20150319", NAME, "Han_20171204"])
    assert len(failures) == 1 and failures[0].startswith("Chewie_20150319: download from http")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "Chewie_20150319: failed" and told[1].startswith(f"{NAME}: {catalogue.cache_folder()}")
    assert told[2] == f"Han_20171204: {catalogue.RECORDINGS / 'Han_20171204.nwb'}"


def test_the_command_says_what_failed(tmp_path):
    env = os.environ | {"NERLIB_CACHE": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "companion.downloads", NAME]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=catalogue.RECORDINGS.parent)
    assert done.returncode == 1 and f"{NAME}: failed" in done.stdout
    assert f"{NAME}: no connection to https://api.github.com" in done.stderr


def test_a_missing_recording_is_restored_with_git_and_not_downloaded(
    server, requests_seen, tmp_path, monkeypatch
):
    """The authors' file in the cache would not be read, as the recording comes with the book."""
    (tmp_path / "checksums.txt").write_bytes((catalogue.RECORDINGS / "checksums.txt").read_bytes())
    monkeypatch.setattr(catalogue, "RECORDINGS", tmp_path)
    with pytest.raises(catalogue.Unavailable, match="Han_20171204.nwb is missing, restore it with `git"):
        fetch("Han_20171204")
    assert requests_seen == []


def test_no_connection(server, monkeypatch):
    use_address(monkeypatch, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(FileNotFoundError, match="no connection to http://127.0.0.1:9.*that NERLIB"):
        fetch(NAME)


@pytest.mark.parametrize("name", [NAME, "MC_Maze"])
def test_a_missing_download_shows_one_message(server, monkeypatch, name):
    use_address(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(catalogue.Unavailable) as info:
        fetch(name)
    text = "".join(traceback.format_exception(info.value))
    assert text.count("Traceback") == 1 and text.count(f"{name}: no connection to http") == 1
    assert "During handling" not in text and "direct cause" not in text


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, answers, requests_seen):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    path = fetch(NAME)
    path.write_bytes(PAYLOAD[:500])
    assert fetch(NAME).read_bytes() == PAYLOAD
    assert len(requests_seen) == 2


def test_progress_bar_on_a_terminal_only(server, answers, monkeypatch, capsys):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    fetch(NAME).unlink()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch(NAME)
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
    path = fetch("MC_Maze")
    assert path.read_bytes() == PAYLOAD and len(requests_seen) == 3
    assert fetch("MC_Maze") == path and len(requests_seen) == 3
    path.write_bytes(PAYLOAD[:99])
    assert fetch("MC_Maze").read_bytes() == PAYLOAD and len(requests_seen) == 6
    dandi["/api/assets/abc/download/"] = PAYLOAD[:99]
    path.unlink()
    with pytest.raises(DataError, match="99 bytes.* expected sha256:"):
        fetch("MC_Maze")
    assert not path.exists()


@pytest.mark.parametrize("listing", [b'{"results": []}', b"<html>", b"[]"])
def test_dandi_says_something_else(dandi, listing):
    dandi[next(key for key in dandi if "?path=" in key)] = listing
    with pytest.raises(catalogue.Unavailable, match="MC_Maze: no answer of the expected form"):
        fetch("MC_Maze")


def test_several_may_fetch_at_once(server, answers):
    answers[f"/blobs/{BLOB}"] = PAYLOAD
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(fetch, [NAME] * 4))
    assert [path.read_bytes() for path in paths] == [PAYLOAD]
    assert len(files_below(catalogue.cache_folder())) == 1
