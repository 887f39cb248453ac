"""The lever `output_budget`: the most tokens that an answer may have.

An answer's time is its tokens, so a cap is the surest bound of the end-to-end time, and what is cut
off there (`finish_reason` "length") is its price.
"""

from __future__ import annotations

import msgspec

from latok.errors import UsageError
from latok.workload.parts import Parts


def limited(parts: Parts, tokens: int) -> Parts:
    """The parts with at most so many tokens of answer; a lower limit of their own stays."""
    if tokens < 1:
        raise UsageError(f"an answer has at least one token, not {tokens}")
    return msgspec.structs.replace(parts, max_tokens=min(parts.max_tokens, tokens))
