"""How many FLOPs this processor does in the arithmetic that the embedded engine may use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from latok.load.roof import best_time

_SIZE = 1024  # of the square matrices


def openvino_flops() -> float:
    """FLOPs a second of a product of matrices in 16-bit floats where the processor has them (AMX,
    AVX-512), which numpy cannot do; 0 where OpenVINO is not installed."""
    try:  # by name: its stubs and its compiled part disagree on their types
        openvino: Any = import_module("openvino")
        opset13: Any = import_module("openvino.opset13")
    except ImportError:
        return 0.0
    square = np.ones((_SIZE, _SIZE), np.float32)
    given = opset13.parameter([_SIZE, _SIZE], np.float32)
    product = opset13.matmul(given, opset13.constant(square), False, True)
    compiled = openvino.Core().compile_model(
        openvino.Model([product], [given], "product"), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"}
    )
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(square))
    return 2.0 * _SIZE**3 / best_time(request.infer)
