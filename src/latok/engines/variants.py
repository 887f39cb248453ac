"""The model in fewer bits: variants of a GGUF file, made here and kept in the user's cache folder.

Weights are rounded to nearest, block by block, from whatever precision the file came in; nothing is
calibrated. So a variant shows what a lever does, and is no competitor of a well-made file: q4_0
made of an embedded model that is 4 bits already loses twice.

`w3_sim` and `w2_sim` are positive controls: their values are those of a 3-bit and a 2-bit grid, but
they are stored as q8_0, so they cost what q8_0 costs and answer as badly as so few bits do.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from latok.engines.model import model_path
from latok.engines.table import AS_IT_CAME, EMBEDDED
from latok.errors import UsageError
from latok.version import VERSION

BLOCK = 32  # weights that share a scale, in all the formats below
# Where llama.cpp's own quantiser keeps more bits too: what reads and writes tokens, and routers.
_KEPT = ("token_embd", "output", "ffn_gate_inp")


class Variant(NamedTuple):
    """`bits` of a weight's grid, without its block's scale; `stored`: its format in the file."""

    what: str
    stored: str
    bits: int


VARIANTS = {
    "q8_0": Variant("8 bits, rounded to nearest", "Q8_0", 8),
    "q5_0": Variant("5 bits, rounded to nearest", "Q5_0", 5),
    "q4_0": Variant("4 bits, rounded to nearest", "Q4_0", 4),
    "w3_sim": Variant("a grid of 3 bits, stored in 8: a positive control", "Q8_0", 3),
    "w2_sim": Variant("a grid of 2 bits, stored in 8: a positive control", "Q8_0", 2),
}


def model_file(levers: Mapping[str, Any], say: Callable[[str], None]) -> Path:
    """The file that an engine with these levers loads: `model`, its weights as `weights` says.

    Fetches and makes what is not there yet; `say` hears what that takes. Raises UsageError for a
    model that is no GGUF file, and if the variant cannot be made.
    """
    if levers["model"] == EMBEDDED:
        path = model_path(say)
    else:
        path = Path(levers["model"]).expanduser()
        _check_gguf(path)
    return path if levers["weights"] == AS_IT_CAME else variant(path, levers["weights"], say)


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as why:
        raise UsageError(f"model={path}: {why.strerror}") from None
    if magic != b"GGUF":
        raise UsageError(f"model={path} is not a GGUF file")


def variant(source: Path, name: str, say: Callable[[str], None]) -> Path:
    """The file with its weights as `name`; made once, then taken from the cache if it is whole.

    Its metadata says what it was made of: latok.weights, latok.made_of, latok.made_of_sha256.
    """
    from platformdirs import user_cache_path

    digest = sha256(source)
    folder = user_cache_path("latok") / "models" / f"from-{digest[:16]}"
    stem = source.stem.removesuffix(".Q4_1")
    path = folder / f"{stem}.{name}.gguf"
    seal = path.with_suffix(".sha256")  # of the variant itself, written after it
    if path.is_file() and seal.is_file() and sha256(path) == seal.read_text("ascii"):
        return path
    say(f"making {path.name} of {source.name}, once: {VARIANTS[name].what}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the place where it goes, so that the moves are atomic; two processes that do this
        # at once make the same bytes.
        with tempfile.TemporaryDirectory(dir=folder, prefix="making-") as place:
            made, sealed = Path(place) / path.name, Path(place) / seal.name
            _write(source, made, name, digest)
            sealed.write_text(sha256(made), "ascii")
            made.replace(path)
            sealed.replace(seal)
    except OSError as why:
        raise UsageError(f"cannot keep {path.name} in {folder}: {why.strerror or why}") from None
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gguf() -> Any:
    try:
        import gguf
    except ImportError:
        raise UsageError(
            "weights other than 'file' are made with a package that is not installed; "
            "pip install gguf brings it"
        ) from None
    return gguf


def _write(source: Path, made: Path, name: str, digest: str) -> None:
    """One tensor at a time, so that a large model needs no more memory than its largest."""
    import numpy as np

    gguf = _gguf()
    try:
        reader = gguf.GGUFReader(source)
    except (ValueError, IndexError) as why:
        raise UsageError(f"{source} cannot be read as GGUF: {why}") from None
    kind = gguf.GGMLQuantizationType[VARIANTS[name].stored]
    writer = gguf.GGUFWriter(made, _contents(reader, "general.architecture"))
    skipped = {"general.architecture", "general.file_type"}
    for field in reader.fields.values():
        if field.name in skipped or field.name.startswith("GGUF."):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind.name}"])
    writer.add_string("latok.weights", name)
    writer.add_string("latok.made_of", source.name)
    writer.add_string("latok.made_of_sha256", digest)
    writer.add_string("latok.made_by", f"latok {VERSION}")
    turned = [_is_turned(tensor) for tensor in reader.tensors]
    for tensor, turn in zip(reader.tensors, turned, strict=True):
        if turn:
            whole = tuple(int(size) for size in reversed(tensor.shape))
            shape = gguf.quant_shape_to_byte_shape(whole, kind)
            size = int(np.prod(shape))
            writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), size, raw_dtype=kind)
        else:
            data = tensor.data
            writer.add_tensor_info(
                tensor.name, data.shape, data.dtype, data.nbytes, raw_dtype=tensor.tensor_type
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, turn in zip(reader.tensors, turned, strict=True):
        data = tensor.data
        if turn:
            exact = gguf.quants.dequantize(data, tensor.tensor_type)
            data = gguf.quants.quantize(on_grid(exact, name), kind)
        writer.write_tensor_data(data)
    writer.close()


def _contents(reader: Any, name: str) -> Any:
    return reader.fields[name].contents()


def _is_turned(tensor: Any) -> bool:
    """A matrix of weights, of whole blocks, and none of those that keep their bits."""
    matrix = len(tensor.shape) > 1 and int(tensor.shape[0]) % BLOCK == 0
    return matrix and not any(part in _KEPT for part in tensor.name.split("."))


def on_grid(weights: Any, name: str) -> Any:
    """Weights that a simulated variant would have: for the others, as they are.

    As Q4_0 does it with 4: of a block's values, that of the largest magnitude is -2^(bits-1) steps,
    and each is rounded to the nearest of the 2^bits.
    """
    import numpy as np

    if not name.endswith("_sim"):
        return weights
    half = 2 ** (VARIANTS[name].bits - 1)
    blocks = np.asarray(weights, dtype=np.float32).reshape(-1, BLOCK)
    widest = np.abs(blocks).argmax(axis=1, keepdims=True)
    step = np.take_along_axis(blocks, widest, axis=1) / -half
    steps = np.divide(blocks, step, out=np.zeros_like(blocks), where=step != 0)
    return (np.clip(np.round(steps), -half, half - 1) * step).reshape(np.shape(weights))
