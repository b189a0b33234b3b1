"""Files appear whole or not at all."""

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
