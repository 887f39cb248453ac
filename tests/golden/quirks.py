"""Every quirk × every dialect that has it; what all have is made from one ordinary answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latok.load.golden import Asked, Step, chunked
from tests.golden import anthropic, llamacpp, ollama, openai, responses, sglang, tgi
from tests.golden.case import Case, Family, dumped, json_body, says

FAMILIES: dict[str, Family] = {
    **openai.FAMILIES,
    **responses.FAMILIES,
    **anthropic.FAMILIES,
    **ollama.FAMILIES,
    **llamacpp.FAMILIES,
    **tgi.FAMILIES,
    **sglang.FAMILIES,
}


def changed(family: Family, change: Callable[[bytes], bytes]) -> Case:
    case = family.stream(["a", "b"])
    return case._replace(steps=tuple(s._replace(data=change(s.data)) for s in case.steps))


def between(family: Family, *more: Step) -> Case:
    """An ordinary answer with something before each of its events."""
    case = family.stream(["a", "b"])
    return case._replace(steps=tuple(x for step in case.steps for x in (*more, step)))


def split(family: Family) -> Case:
    """Each event in two pieces, cut inside the first character of two bytes or more."""
    case = family.stream(["é", "😀", "字"])
    pieces = []
    for step in case.steps:
        at = next((n for n, byte in enumerate(step.data) if byte > 127), len(step.data) // 2) + 1
        pieces += [Step(0.0, step.data[:at], 0, ""), step._replace(data=step.data[at:])]
    return case._replace(steps=tuple(pieces))


def at_once(family: Family) -> Case:
    """All in one piece: the first of the two `steps` only says what is in the other."""
    case = family.stream(["a", "b"])
    data = b"".join(step.data for step in case.steps)
    *early, last = case.steps
    silent = [step._replace(data=b"") for step in early]
    return case._replace(steps=(*silent, last._replace(data=data)))


def undelimited(family: Family) -> Case:
    case = family.stream(["a", "b"])
    last = case.steps[-1]
    return case._replace(steps=(*case.steps[:-1], last._replace(data=last.data.rstrip(b"\n"))))


def broken(family: Family) -> Case:
    case = unfinished(family)
    return case._replace(steps=(*case.steps, *family.broken), error="in_band")


def unfinished(family: Family) -> Case:
    case = family.stream(["a", "b"])
    steps = case.steps[: -family.ends]
    text = "ab"[: sum(step.kind == "content" for step in steps)]
    return case._replace(steps=steps, text=text, timings={}, error="incomplete")


def garbage(family: Family) -> Case:
    case = unfinished(family)
    end = b"\n" if "ndjson" in family.content_type else b"\n\n"
    head = b"" if "ndjson" in family.content_type else b"data: "
    steps = (*case.steps, says(head + b'{"choices": [{"del' + end, "error"))
    return case._replace(steps=steps, error="garbage")


def whole(family: Family) -> Case:
    case = family.whole()
    return case._replace(content_type="application/json; charset=utf-8")


def page(family: Family) -> Case:
    html = b"<!doctype html>\n<p>Please log in.</p>\n"
    lines = "ndjson" in family.content_type  # a line is an event there
    steps = (says(html, "error"), says(b"", "error")) if lines else (Step(0.0, html, 0, ""),)
    error = "garbage" if lines else "incomplete"
    return Case(steps, error=error, content_type="text/html")


def refused(status: str, error: str, **headers: str) -> Callable[[Family], Case]:
    def made(family: Family) -> Case:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        steps = tuple(s._replace(kind="") for s in json_body(family.error("no"), "error", 0))
        after = {"2": 2.0, "": 0.25}[headers["retry_after"]] if "retry_after" in headers else None
        return Case(
            steps,
            error=error,
            status=status,
            headers=names,
            retry_after=after,
            content_type="application/json",
        )

    return made


def limited_exactly(family: Family) -> Case:
    case = refused("429 Too Many Requests", "rate_limited")(family)
    headers = {"retry-after": "1", "retry-after-ms": "250", "x-ratelimit-remaining-tokens": "0"}
    return case._replace(headers=headers, retry_after=0.25)


def limited_until(family: Family) -> Case:
    case = refused("429 Too Many Requests", "rate_limited")(family)
    dates = {
        "date": "Sun, 06 Nov 2026 08:49:37 GMT",
        "retry-after": "Sun, 06 Nov 2026 08:49:40 GMT",
    }
    return case._replace(headers=dates, retry_after=3.0)


def invalid(family: Family) -> Case:
    body = {"detail": [{"loc": ["body", "x"], "msg": "Field required", "type": "missing"}]}
    case = refused("422 Unprocessable", "http")(family)
    return case._replace(steps=(Step(0.0, dumped(body), 0, ""),))


def header_timings(family: Family) -> Case:
    said = {"openai-processing-ms": "12", "x-queue-time": "3", "server-timing": "db;dur=53"}
    timings = {"openai-processing-ms": 12.0, "x-queue-time": 3.0, "server-timing": "db;dur=53"}
    return family.stream(["a", "b"])._replace(headers=said, timings=timings)


Maker = Callable[[Family], Case]
# What any dialect may meet, and what events (not lines) may meet.
ANY: dict[str, tuple[str, Maker]] = {
    "plain": ("An ordinary answer", lambda f: f.stream(["a", "b"])),
    "crlf": ("Lines end with CR LF", lambda f: changed(f, lambda d: d.replace(b"\n", b"\r\n"))),
    "separators": (
        "U+2028, U+0085 and the like inside a token",
        lambda f: f.stream(["a\u2028", "b\u2029\u0085", "\x0b\x1c"]),
    ),
    "split_character": ("A character cut between two reads", split),
    "at_once": ("All events in one read", at_once),
    "no_delimiter": ("No delimiter after the last event", undelimited),
    "blank_lines": ("Blank lines between events", lambda f: between(f, Step(0.0, b"\n\n", 0, ""))),
    "broken": ("An error in the middle, under status 200", broken),
    "unfinished": ("The body ends, but nothing said that the answer is whole", unfinished),
    "garbage": ("Half a JSON value", garbage),
    "unstreamed": ("One JSON body although a stream was asked for", whole),
    "page": ("A web page under status 200", page),
    "bad_request": ("Refused before the stream: 400", refused("400 Bad Request", "http")),
    "invalid": ("Refused before the stream: 422 of FastAPI", invalid),
    "limited": (
        "429 with Retry-After in seconds",
        refused("429 Too Many Requests", "rate_limited", retry_after="2"),
    ),
    "limited_exactly": ("429 with retry-after-ms and x-ratelimit headers", limited_exactly),
    "limited_until": ("429 with Retry-After as a date", limited_until),
    "overloaded": (
        "503 with Retry-After",
        refused("503 Service Unavailable", "overloaded", retry_after="2"),
    ),
    "overloaded_anthropic": ("529", refused("529 Overloaded", "overloaded")),
    "redirected": ("A redirect, which is not followed", refused("307 Temporary", "http")),
    "header_timings": ("Server timings in headers", header_timings),
}
EVENTS: dict[str, tuple[str, Maker]] = {
    "cr": ("Lines end with CR alone", lambda f: changed(f, lambda d: d.replace(b"\n", b"\r"))),
    "comments": (
        "Comments between events",
        lambda f: between(f, says(b": PROCESSING\n\n", "ping")),
    ),
    "empty_data": ("Events whose data is empty", lambda f: between(f, says(b"data:\n\n", "ping"))),
    "byte_order_mark": ("A byte order mark", lambda f: f.stream(["a", "b"])),
    "named_error": (
        "`event: error` with text that is not JSON",
        lambda f: unfinished(f)._replace(
            steps=(
                *unfinished(f).steps,
                says(b"event: error\ndata: out of memory\n\n", "error"),
            ),
            error="in_band",
        ),
    ),
}
# What some have, in cases of their own.
OWN = {
    "start_missing": "`message_start` is missing (llama.cpp, if half a character is first)",
    "done_missing": "`[DONE]` is missing",
    "role_merged": "The role comes with the first text",
    "role_null": "The opening chunk has no content",
    "empty_token": "A token whose text is empty",
    "empty_token_of_sglang": "A token whose text is empty, the role null",
    "special_token": "A special token, whose text is not part of the answer",
    "several_tokens": "Several tokens in one chunk, counted",
    "token_without_text_but_counted": "A token without text that only the count shows",
    "usage_in_last_content": "Usage in the last chunk of text",
    "usage_at_the_end_alone": "Input tokens only in the last usage",
    "usage_that_does_not_count": "Usage in each chunk that stays 0 until the end",
    "usage_stops_midway": "Usage in some chunks only",
    "cached_and_reasoning_tokens": "Cached (and reasoning) tokens; input includes them",
    "cached_tokens_deepseek": "Cached tokens in DeepSeek's words",
    "prompt_all_cached": "No prompt count, as all was cached",
    "reasoning": "Reasoning before text (`reasoning_content` in chat)",
    "reasoning_vllm": "Reasoning as `reasoning`",
    "reasoning_openrouter": "Reasoning as `reasoning_details`",
    "reasoning_parts": "Content as parts, reasoning among them",
    "reasoning_redacted": "Reasoning that is hidden",
    "reasoning_ends_in_text": "Reasoning and text in one chunk",
    "tools": "A tool call, its arguments in fragments",
    "parallel_tools": "Two tool calls",
    "function_call": "The old `function_call`",
    "refusal": "A refusal",
    "several_choices": "n > 1, interleaved",
    "several_choices_counted": "n > 1 with continuous usage",
    "one_choice_of_two_unfinished": "n > 1, and one of them never ends",
    "filter_results_first": "A chunk without choices first",
    "prompt_progress": "`prompt_progress` while the prompt is read",
    "cut_at_the_limit": "Ended by the limit of tokens",
    "failed_at_the_end": "The last event says that it failed",
    "finish_error": "The finish reason is an error",
    "error_field": "An `error:` line in place of `data:` (older llama.cpp)",
    "logprobs": "Log-probabilities of the likeliest tokens: the first's are kept",
    "logprobs_late": "Log-probabilities of a later token only",
    "logprobs_empty": "Log-probabilities of the chosen token alone, of none, or an empty list",
    "logprobs_as_in_chat": "Log-probabilities of a completion as in chat (llama.cpp)",
    "logprobs_of_reasoning": "Log-probabilities of reasoning, apart from those of text",
    "logprobs_without_bytes": "Log-probabilities without the tokens' bytes",
    "logprobs_unlikely": "-9999.0 for a token that is very unlikely",
    "logprobs_written_alike": "Likely tokens that are pieces of characters, all written alike",
    "logprobs_broken": "Log-probabilities that are none",
    "timings": "Server timings in the answer",
    "timings_groq": "Server timings of Groq",
    "timings_cerebras": "Server timings of Cerebras",
    "timings_llamacpp": "Server timings of llama.cpp",
}
WHAT = {name: what for name, (what, _) in (ANY | EVENTS).items()} | OWN


def _cases() -> dict[tuple[str, str], Case]:
    found: dict[tuple[str, str], Case] = {}
    for dialect, family in FAMILIES.items():
        events = family.content_type == "text/event-stream"
        makers = ANY | EVENTS if events else ANY
        cases = {name: make(family) for name, (_, make) in makers.items()} | family.own
        if events:
            first, *rest = cases["byte_order_mark"].steps
            marked = first._replace(data=b"\xef\xbb\xbf" + first.data)
            cases["byte_order_mark"] = cases["byte_order_mark"]._replace(steps=(marked, *rest))
        for name, case in cases.items():
            kept = case.content_type or family.content_type
            found[dialect, name] = case._replace(content_type=kept)
    return found


CASES = _cases()


def head(case: Case) -> bytes:
    lines = [f"HTTP/1.1 {case.status}", f"Content-Type: {case.content_type}"]
    lines += [f"{name}: {value}" for name, value in case.headers.items()]
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()


def http(case: Case) -> bytes:
    """The whole response as it goes over the wire."""
    return head(case) + b"".join(chunked(s.data) for s in case.steps if s.data) + b"0\r\n\r\n"


def by_path(asked: Asked) -> Any:
    """The golden server's script: `/quirk/<dialect>/<name>` plays that case, a step a ms."""
    case = CASES[tuple(asked.path.split("/")[2:4])]  # type: ignore[index]
    yield Step(0.0, head(case))
    for n, step in enumerate(case.steps, 1):
        if step.data:
            yield step._replace(at=n * 1e-3, data=chunked(step.data))
    yield Step((len(case.steps) + 1) * 1e-3, b"0\r\n\r\n")
