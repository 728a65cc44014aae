"""Files that take another's place are whole, and nothing is left beside them."""

import pytest
from small_disk import small_disk

from thumbwheel.errors import DiskFullError
from thumbwheel.process.durable import replacing, write_bytes, write_text


def interrupted(path):
    """Begin to replace a file or a directory."""
    with replacing(path) as part:
        if path.is_dir():
            part.mkdir()
            (part / "half").write_text("new")
        else:
            part.write_text("half")
        raise KeyboardInterrupt


def test_a_block_that_fails_changes_nothing(tmp_path):
    """What was there stays, a file or a directory, and no half of another lies beside it."""
    file, folder = tmp_path / "a.json", tmp_path / "b"
    write_text(file, "old")
    folder.mkdir()
    (folder / "part").write_text("old")
    for path in (file, folder):
        with pytest.raises(KeyboardInterrupt):
            interrupted(path)
    assert file.read_text() == "old"
    assert (folder / "part").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b"]


def test_a_directory_takes_the_place_of_another(tmp_path):
    """Nothing of the old one is left in it, nor of one that a kill left half done."""
    path, left = tmp_path / "new" / "d", tmp_path / "new" / ".d.fresh"
    for name in ("first", "second"):
        with replacing(path) as part:
            assert not part.exists()
            part.mkdir()
            (part / name).write_text(name)
        left.mkdir()
        (left / "half").write_text("of a process that was killed")
    assert [path.name for path in path.iterdir()] == ["second"]


def test_a_private_file_is_its_owners_alone(tmp_path):
    """Even when it takes the place of one that others could read."""
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    write_bytes(path, b"secret", private=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_told_in_one_line(tmp_path):
    """The old content stays, and what did not fit is gone."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk.path / "a.json"
        write_text(path, "old")
        disk.fill(keep=100_000)
        with pytest.raises(DiskFullError, match=f"no space left for {path}"):
            write_bytes(path, bytes(500_000))
        assert path.read_text() == "old"
        assert sorted(file.name for file in disk.path.iterdir()) == ["a.json", "filler"]
