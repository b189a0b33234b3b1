"""Files appear whole or not at all."""

import os

import pytest

from nerlib._files import write_whole


def test_what_was_written_takes_the_place_of_the_file(tmp_path):
    path = tmp_path / "scores.json"
    for text in ("first", "second"):
        with write_whole(path) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_the_old_file_stays(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), write_whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_a_file_as_the_umask_says(tmp_path):
    path = tmp_path / "scores.json"
    before = os.umask(0o022)
    try:
        with write_whole(path) as partial:
            partial.touch(mode=0o600)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_missing_folder_is_named(tmp_path):
    missing = tmp_path / "absent"
    with (
        pytest.raises(FileNotFoundError, match="there is no folder .*absent"),
        write_whole(missing / "a.json"),
    ):
        pass
