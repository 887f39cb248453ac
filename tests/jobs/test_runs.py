"""What a log of captures is read back as."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from latok.jobs.runs import LOG, read_run
from latok.records import Closed, write_manifest
from latok.wire.capture import Capture, frame, pack_read
from tests.golden.quirks import CASES
from tests.simulated import manifest


@pytest.mark.parametrize("kept", [True, False])
def test_texts_are_kept_where_the_manifest_says_so(tmp_path: Path, kept: bool) -> None:
    case = CASES["openai-chat", "logprobs"]
    body = b"".join(step.data for step in case.steps)
    capture = Capture(id=0, app="", session="", turn=0, prompt_tokens=1, max_tokens=2, due=0.0)
    capture.status, capture.headers = 200, [("content-type", "text/event-stream")]
    capture.packed = [pack_read(10**9, 0, 0, 0) + body]
    (tmp_path / LOG).write_bytes(frame(capture))
    said = msgspec.structs.replace(manifest(Closed(1), (0.0, 1.0)), texts=kept)
    write_manifest(tmp_path, said)
    read, [record] = read_run(tmp_path)
    assert read.texts == kept
    assert record.text == ("ab" if kept else None)
    assert record.first_token == case.first
