"""What the HTML report calls things, and what it answers to a question mark."""

from __future__ import annotations

WORDS = {
    "load": "How many requests are held in flight at a time (closed loop: the next is sent when "
    "one is done), or how many are sent a second however long they take (open loop).",
    "requests": "Requests that were sent in the window and succeeded; those that failed in "
    "brackets. Failed requests count against the SLO, not into the percentiles.",
    "window": "The steady part of the run, after the ramp and before the drain. Requests belong to "
    "it by when they were sent, tokens by when they arrived.",
    "ttft": "Time to first token: from sending the request, on a connection that is open and warm, "
    "to the first event with a generated token. Connect and TLS are not in it.",
    "ttft_user": "Time to first token from when the request was due, so that waiting for a slot "
    "counts.",
    "ttfv": "Time to the first token that a user sees; what comes before it, beyond ttft, is "
    "thinking.",
    "ttfb": "Time to the response's headers, from sending.",
    "tpot": "Time per output token after the first event, for each request: (last − first) ÷ (N − "
    "tokens in the first event), with N as the server counts it.",
    "gap": "Time between two neighbouring token events, over all requests: what the user sees as "
    "smoothness. An SLO judges a request by its longest gap.",
    "e2e": "From sending to the last token.",
    "e2e_close": "From sending to the end of the stream.",
    "speed": "1 ÷ tpot: how many tokens a second one user gets once the answer has begun. More is "
    "better, so its bad tail is the 5th percentile.",
    "throughput": "Output tokens that arrived in the window, from all users together, per second.",
    "SLO": "What the app asks. A clause such as ttft.p95<400ms is met when at least 95 % of the "
    "requests offered stay below 400 ms; met and missed are said only where the interval of that "
    "share leaves no doubt. The percentage is of requests that keep all limits at once.",
    "interval": "95 % interval, by bootstrap over blocks of time, because neighbouring requests "
    "are alike.",
    "client": "The most by which latok itself may have moved the number: every event is moved to "
    "the ends of its doubt and the quantile is taken again.",
    "lag": "From a packet's arrival in the kernel to our reading it. With kernel time stamps it "
    "does not enter the numbers; a client without them would have been wrong by it.",
    "lateness": "How long after its due time a request was sent.",
    "shared": "Events that arrived in one read together with others; the earlier of them carry a "
    "doubt.",
    "frontier": "The points that no other point beats on both axes.",
    "knee": "The point of the frontier after which a little more throughput costs much more "
    "latency: the farthest from the line between its ends.",
    "headroom": "How much the load may still grow before the SLO, or the end of what was measured.",
    "goodput": "Requests per second that keep every limit of the SLO.",
    "first_sentence": "From sending to the end of the answer’s first sentence: what can be spoken.",
    "first_line": "From sending to the end of the first line of the answer’s code.",
    "wait": "The longest time that a reader of 10 tokens a second has caught up and waits.",
    "attainment": "The share of the requests offered that keep every limit of the SLO at once.",
    "distribution": "The share of the requests offered that were within each value. Failed "
    "requests never are, so that their curve ends below 100 %. At a limit of the SLO the "
    "curve is the share that keeps it: where it passes over the green mark, the clause is met.",
    "right": "How good the answers were: the mean score of the requests that have one right "
    "answer. One that never came is wrong.",
    "good": "Answers that are right, whole (not cut at their length) and within the SLO at once: "
    "their share of what was graded, times the requests offered a second.",
    "non_inferior": "Non-inferior: a fall of accuracy by more than the margin is excluded. "
    "Inferior: there is a fall beyond it. Inconclusive: neither yet. Both are judged by the same "
    "questions, pair by pair: by an interval at the end, or by a test that may be looked at after "
    "every pair.",
    "depth": "0 % is the first sentence of the document, 100 % the last. The effective context "
    "length is the longest that keeps 85 % of the score at the shortest (NoLiMa’s definition).",
    "capacity": "The highest load at which the SLO is met: where the share of requests within the "
    "limit falls below what the clause asks, with a 95 % interval.",
    "saturation": "The most tokens per second that any load brought; more load adds none.",
    "verdict": "Better or worse: a difference beyond the margin that chance does not explain "
    "(Holm’s test over all metrics). The same: its whole interval is within the margin. Undecided: "
    "neither, yet.",
    "course": "Each dot is a request, by when it was sent; the line is the median of a stretch of "
    "time. What counts is shaded; dashes frame what was cut off as warming up or draining.",
    "grade": "Told: the server says its times with each answer, and each is joined with our own "
    "clock. Counters: only means over all that it served. Inferred: from when answers to designed "
    "probes came, so with more doubt.",
    "parts": "Typical is the mean of the requests around the median, slow that of those around p99 "
    "(p95 or p90 where they are few), so that the parts still sum to the whole.",
    "unexplained": "What neither our clock nor the server accounts for. Below 3 % the parts may be "
    "taken at their word.",
    "win": "Without a part that is 48 % of the first token the rest would remain, so that it came "
    "1.9 times as fast (Amdahl’s law). Findings with a p are comparisons of the slowest tenth with "
    "the rest, and may be chance.",
    "floor": "A token decoded alone reads all weights and the attention cache of its context from "
    "memory; a token of a prompt costs two FLOPs for each parameter. Bandwidth and FLOPs are "
    "measured on this machine.",
    "cost": "What 1,000 good requests cost in US dollars: all that was paid in the window (hosted "
    "models by the token, own hardware by the hour) over the requests that keep every limit of "
    "the SLO.",
}

# Of each kind of fit what its chart is called, and what to see in it.
FITS = {
    "first_token": (
        "The first token, alone",
        "Where the line meets the left edge is the time before any token is read; its slope is "
        "what a token of a prompt costs.",
    ),
    "prefill": (
        "Prefill, as the server tells",
        "The slope is what a token of a prompt costs; the band holds half of the requests.",
    ),
    "decode": (
        "Decode, as the server tells",
        "The slope is what a token of an answer costs; the band holds half of the requests.",
    ),
    "context": (
        "A token behind more tokens",
        "If the line rises, each token of context makes the next ones slower.",
    ),
    "streams": (
        "A token beside more streams",
        "The slope is what each further stream in the batch costs all others.",
    ),
    "blocks": (
        "What a prefix cache saves",
        "Each tooth is a block: only whole blocks of an earlier prompt are known.",
    ),
}

NAMES = {
    "ttft": "Time to first token",
    "ttft_user": "First token from when due",
    "ttfv": "Time to first visible token",
    "tpot": "Time per token",
    "gap": "Gap between tokens",
    "first_sentence": "First sentence",
    "first_line": "First line of code",
    "wait": "A reader’s longest wait",
    "speed": "One user’s speed",
    "attainment": "Within the SLO",
    "e2e": "Whole answer",
    "e2e_close": "Whole stream",
    "ttfb": "Response headers",
    "throughput": "Throughput",
    "cost": "1,000 good requests",
}

CHECKS = {
    "littles_law": "Little’s law: mean in flight = rate × mean time",
    "offered_load": "the load asked for is the load sent",
    "token_counts": "tokens asked are tokens got, within 2 %",
    "cache_regime": "a prefix cache knew of the prompts what the regime says",
    "rate_limits": "the target refused nothing for its rate limits",
    "steady": "latencies and throughput kept their level in the window",
}
