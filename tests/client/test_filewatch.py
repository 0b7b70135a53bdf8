"""Being told that a file was put into a folder."""

import select

import pytest

from steer.client.filewatch import FileWatch


def readable(watch, seconds):
    return bool(select.select([watch], [], [], seconds)[0])


def test_a_file_that_is_moved_into_place_is_reported(tmp_path):
    with FileWatch(tmp_path) as watch:
        (tmp_path / "fresh").write_text("x")
        assert not readable(watch, 0)  # it may be half written
        (tmp_path / "fresh").rename(tmp_path / "final")
        assert readable(watch, 2)
        watch.drain()
        assert not readable(watch, 0)
        watch.drain()


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        FileWatch(tmp_path / "none")
