"""What a target does with what was asked that it does not say: limits, cuts, another model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from latok.analysis import audit
from latok.analysis.point import Check
from latok.records import Manifest, Record, Usage

_ROUND = 2  # tokens by which a count may be off for a special token here or there
_CUT = 0.05  # share of a prompt that may be missing before we call it cut
_ALIKE = 0.8  # of the cut ones, at the same length: a limit
# How servers say that an answer ended for its length.
BY_LENGTH = ("length", "max_tokens", "max_output_tokens", "limit")
_FROM_AUDIT = ("token_counts", "rate_limits", "cache_regime")


def provider_checks(manifest: Manifest, records: Sequence[Record]) -> tuple[Check, ...]:
    """Each of them says what was looked at; `ok` is None where the target does not tell."""
    good = [record for record in records if record.ok]
    told = [(record, record.usage) for record in good if record.usage is not None]
    everything = audit.checks(manifest, records, records)
    return (
        _default_limit(told),
        _truncation(told, exact=bool(manifest.workload.get("exact_counts"))),
        *_who(manifest, good),
        *(check for check in everything if check.name in _FROM_AUDIT),
    )


def _default_limit(told: Sequence[tuple[Record, Usage]]) -> Check:
    """Answers that ended for their length before they had the length that was asked for."""
    name = "default_limit"
    by_length = [
        (u.completion_tokens, r.max_tokens)
        for r, u in told
        if r.finish_reason in BY_LENGTH and u.completion_tokens is not None
    ]
    short = [(got, asked) for got, asked in by_length if got < asked - _ROUND]
    if not by_length:
        return Check(name, None, "no answer ended for its length")
    if not short:
        return Check(name, True, f"{len(by_length)} answers ended at the length that was asked for")
    (at, often), *_ = Counter(got for got, _ in short).most_common(1)
    said = f", most of them at {at} tokens" if often >= _ALIKE * len(short) else ""
    return Check(
        name,
        False,
        f"{len(short)} of {len(by_length)} answers that ended for their length had fewer tokens "
        f"than asked for{said}: the target has a limit of its own",
    )


def _truncation(told: Sequence[tuple[Record, Usage]], *, exact: bool) -> Check:
    """Prompts of which the target counts fewer tokens than it was sent."""
    name = "silent_truncation"
    counts = [
        (u.prompt_tokens, r.prompt_tokens)
        for r, u in told
        if u.prompt_tokens is not None and r.turn == 0
    ]
    if not counts:
        return Check(name, None, "the target does not say how many tokens a prompt had")
    if not exact:
        # by an estimate alone every count is off; a cut shows as one length that many share
        counts = [(got, asked) for got, asked in counts if got < asked / 2]
    cut = [(got, asked) for got, asked in counts if got < (1.0 - _CUT) * asked - _ROUND]
    if not cut:
        return Check(name, True, f"{len(told)} prompts were counted whole")
    (at, often), *_ = Counter(got for got, _ in cut).most_common(1)
    if not exact and often < max(_ALIKE * len(cut), 2):
        return Check(name, None, "prompts were counted by an estimate, so a cut does not show")
    said = f", most of them to {at:,}" if often >= _ALIKE * len(cut) else ""
    longest = max(asked for _, asked in cut)
    return Check(
        name,
        False,
        f"of {len(cut)} of {len(told)} prompts the target counted fewer tokens than were sent "
        f"(up to {longest:,}){said}: it seems to cut them without a word",
    )


def _who(manifest: Manifest, good: Sequence[Record]) -> Iterator[Check]:
    """Whether one model answered, of one make, all the time."""
    served = Counter(record.served for record in good if record.served)
    marks = [record.fingerprint for record in good if record.fingerprint]
    if len(served) > 1:
        said = ", ".join(f"{name} ({n})" for name, n in served.most_common())
        yield Check("model", False, f"answers came from several models: {said}")
    elif served:
        (name,) = served
        asked = manifest.target.model
        alias = "" if name == asked else f", which was asked for as {asked}"
        yield Check("model", True, f"{name} answered{alias}")
    changes = sum(a != b for a, b in pairwise(marks))
    if marks:
        kinds = len(set(marks))
        said = f"{kinds} fingerprints, {changes} changes: the system behind it is not one"
        one = f"one fingerprint in {len(marks)} answers"
        yield Check("fingerprint", kinds == 1, one if kinds == 1 else said)
