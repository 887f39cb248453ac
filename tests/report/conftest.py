"""Maps that several tests read; making one takes a second."""

from __future__ import annotations

import pytest

from tests.report.samples import Measured, measured


@pytest.fixture(scope="session")
def chat() -> Measured:
    return measured("openvino")


@pytest.fixture(scope="session")
def two_targets() -> Measured:
    return measured("openvino", "llamacpp")
