"""All levers, one row each: what it turns, where, what one gets and pays, what to expect of it.

How an engine spells a lever stands in `spelling.py`; which values an engine that latok starts takes
and begins with, in `latok.engines.table`. An `Effect` says who found it: `claimed` by those who
made it, found by others who have nothing to sell (`independent`), or `measured` by us, by the
command or the page that is named. None of them is a promise for another model, load and machine:
that is what `latok` measures.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from latok.errors import UsageError

Where = Literal["engine", "request", "client"]
Axis = Literal["latency", "tokens", "cost", "quality", "memory"]
Grade = Literal["claimed", "independent", "measured"]
WHERE: dict[Where, str] = {
    "engine": "At an engine's start",
    "request": "In each request",
    "client": "In the client that sends",
}


class Effect(NamedTuple):
    says: str
    grade: Grade
    source: str


class Lever(NamedTuple):
    """`where` it is turned: at an engine's start, in each request, or in the client that sends.

    `moves`: the axes on which the point moves. `lossless`: the answers are the same, up to the
    floor of what batching alone changes, so identity is the test; if not, paired grades are.
    """

    name: str
    where: Where
    what: str
    values: str
    trades: str
    moves: tuple[Axis, ...]
    lossless: bool
    effects: tuple[Effect, ...]


_ROWS = (
    Lever(
        name="batch_limit",
        where="engine",
        what="requests in one step; more wait in the queue",
        values="a number of requests",
        trades="a low limit keeps each stream fast and makes the queue long",
        moves=("latency", "cost"),
        lossless=True,
        effects=(
            Effect(
                "from 2 to 16: 40 % more tokens a second in all, each stream 4.6 times slower "
                "(16 users)",
                "measured",
                "docs/worked-document.md, embedded model on OpenVINO, 2 cores",
            ),
        ),
    ),
    Lever(
        name="step_tokens",
        where="engine",
        what="tokens in one step; a longer prompt is taken in pieces",
        values="a number of tokens",
        trades="small steps let running streams go on, large ones finish prompts sooner",
        moves=("latency", "cost"),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="prefix_cache",
        where="engine",
        what="keep the work done for prompts, for others that begin alike",
        values="on, off",
        trades="first tokens sooner for repeated beginnings; memory that is free anyway",
        moves=("latency", "cost", "memory"),
        lossless=True,
        effects=(
            Effect("ttft 4.3 to 0.6 s on a repeated prompt of 10k", "claimed", "llm-d, 2025"),
            Effect(
                "of 2,300 requests, ttft 7 % shorter at 1k tokens, 67 % at 150k and more",
                "claimed",
                "OpenAI, Prompt Caching 201",
            ),
        ),
    ),
    Lever(
        name="kv_cache",
        where="engine",
        what="how exactly the attention cache is stored",
        values="f16, u8, u4, q8_0, q4_0, fp8 …, as the engine has them",
        trades="fewer bits hold more requests and longer ones; 4 bits harm answers",
        moves=("cost", "quality", "memory"),
        lossless=False,
        effects=(
            Effect(
                "fp8 holds twice the tokens; no latency gain without fused attention",
                "claimed",
                "vLLM documentation",
            ),
        ),
    ),
    Lever(
        name="weights",
        where="engine",
        what="how exactly the weights are stored",
        values="file (as they came), or fewer bits as the engine has them",
        trades="fewer bits to read for each token; answers get worse, first in code and JSON",
        moves=("latency", "cost", "quality", "memory"),
        lossless=False,
        effects=(
            Effect(
                "fp8 without loss, int8 1 to 3 %, int4 weights competitive; 500,000 evaluations",
                "claimed",
                "Kurtic et al., Give Me BF16 or Give Me Death, 2411.02355",
            ),
        ),
    ),
    Lever(
        name="precision",
        where="engine",
        what="the arithmetic of a step",
        values="auto, f32, bf16, f16 …, as the engine has them",
        trades="bf16 is faster where the processor has it; f32 is exact",
        moves=("latency", "cost", "quality"),
        lossless=False,
        effects=(),
    ),
    Lever(
        name="sparse_attention",
        where="engine",
        what="skip parts of long prompts",
        values="off, trishape, xattention …, as the engine has them",
        trades="long prompts sooner, some answers worse: what adds up many places first",
        moves=("latency", "cost", "quality"),
        lossless=False,
        effects=(
            Effect(
                "up to 13.5 times less time in attention alone, long contexts",
                "claimed",
                "Xu et al., XAttention, 2503.16428",
            ),
        ),
    ),
    Lever(
        name="cache_eviction",
        where="engine",
        what="keep only so many tokens of a request's cache",
        values="off, or a number of tokens",
        trades="more requests fit in memory; answers that need the dropped parts get worse",
        moves=("cost", "quality", "memory"),
        lossless=False,
        effects=(
            Effect(
                "22.2 times as fast as recomputing a sliding window; what left it is lost",
                "claimed",
                "Xiao et al., StreamingLLM, 2309.17453",
            ),
        ),
    ),
    Lever(
        name="speculation",
        where="engine",
        what="guess coming tokens, check them all in one step",
        values="off, or a way to guess: from the prompt, by n-grams, by a draft model",
        trades="faster where the answer repeats the prompt, slower elsewhere and at high load",
        moves=("latency", "cost"),
        lossless=True,
        effects=(
            Effect(
                "2.3 times as fast alone where code is repeated with a change, 4.9 with "
                "draft_tokens=16; prompt lookup, embedded model on OpenVINO, 2 cores",
                "measured",
                "benchmarks/prompt_lookup.py",
            ),
            Effect("up to 2.8 times on summaries, n-grams", "claimed", "vLLM blog, 2024"),
            Effect(
                "24 % at 1 request, nothing at 64 (a model's own draft layer)",
                "independent",
                "a user's report for GLM",
            ),
        ),
    ),
    Lever(
        name="draft_tokens",
        where="engine",
        what="tokens that speculation guesses for a step",
        values="a number of tokens",
        trades="more where whole passages are repeated; wrong guesses cost a longer step",
        moves=("latency", "cost"),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="threads",
        where="engine",
        what="processor threads of a step (auto: all cores)",
        values="a number of threads, auto",
        trades="fewer leave room for what else runs here",
        moves=("latency", "cost"),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="model",
        where="engine",
        what="another model: smaller, distilled, fine-tuned",
        values="a file or a name, as the engine takes it",
        trades="time for a token is about in proportion to its weights; what it knows is not",
        moves=("latency", "tokens", "cost", "quality", "memory"),
        lossless=False,
        effects=(
            Effect(
                "85 % of the cost saved at 95 % of GPT-4's grade, by routing (MT-Bench)",
                "claimed",
                "Ong et al., RouteLLM, 2406.18665",
            ),
        ),
    ),
    Lever(
        name="context_limit",
        where="engine",
        what="tokens that a prompt and its answer may have together",
        values="a number of tokens",
        trades="requests that are longer are refused",
        moves=("memory",),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="cache_gb",
        where="engine",
        what="memory for the attention caches of all requests, GB",
        values="a number of GB",
        trades="too little, and requests wait although there is room in the batch",
        moves=("latency", "memory"),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="queue_limit",
        where="engine",
        what="requests that may wait; the next is refused",
        values="a number of requests",
        trades="a short queue refuses sooner, a long one lets all wait longer",
        moves=("latency",),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="stream",
        where="request",
        what="send tokens as they come, or the answer when it is whole",
        values="on, off",
        trades="the first token long before the last; some work for each event",
        moves=("latency",),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="output_budget",
        where="request",
        what="the most tokens that an answer may have",
        values="a number of tokens",
        trades="the surest bound of a request's time; what is cut off is missing",
        moves=("latency", "tokens", "cost", "quality"),
        lossless=False,
        effects=(),
    ),
    Lever(
        name="context",
        where="request",
        what="which of a long text goes along with the question",
        values="whole, bm25:TOKENS (the best chunks), map_reduce:TOKENS (all, in parts)",
        trades="prefill falls with the tokens; what was left out cannot be answered from",
        moves=("latency", "tokens", "cost", "quality"),
        lossless=False,
        effects=(
            Effect(
                "selecting passages keeps more than deleting tokens, at up to 10 times fewer",
                "independent",
                "Jha et al., Characterizing Prompt Compression Methods, 2407.08892",
            ),
            Effect(
                "deleting tokens (LLMLingua) saves at most 18 % end to end; 30,000 queries",
                "independent",
                "2604.02985",
            ),
        ),
    ),
    Lever(
        name="code_context",
        where="request",
        what="which functions of a code base go along, the others as signatures",
        values="whole, or a budget of tokens",
        trades="as context; a function that is called but not shown must be guessed",
        moves=("latency", "tokens", "cost", "quality"),
        lossless=False,
        effects=(
            Effect(
                "80 % of the tokens saved at the least, every needed name kept (the standard "
                "library's json, argparse, http.client and email)",
                "measured",
                "benchmarks/context_kept.py",
            ),
            Effect(
                "23 to 54 % of an agent's tokens, as many tasks solved (SWE-bench Verified)",
                "claimed",
                "SWE-Pruner, 2601.16746",
            ),
        ),
    ),
    Lever(
        name="compaction",
        where="request",
        what="the same said in fewer tokens: JSON without blanks or as CSV, prose without blanks",
        values="on, off",
        trades="fewer tokens to read; a model may read the shorter form worse",
        moves=("latency", "tokens", "cost", "quality"),
        lossless=False,
        effects=(),
    ),
    Lever(
        name="examples",
        where="request",
        what="how many worked questions stand before the one that is asked",
        values="a number of examples",
        trades="each costs its tokens in every request (less where a prefix cache knows them)",
        moves=("latency", "tokens", "cost", "quality"),
        lossless=False,
        effects=(),
    ),
    Lever(
        name="prefix_order",
        where="request",
        what="what many requests share goes first, so that a prefix cache finds it",
        values="on, off",
        trades="first tokens sooner; order can change an answer",
        moves=("latency", "cost", "quality"),
        lossless=False,
        effects=(Effect("ttft 20 to 33 % shorter, documents reordered", "claimed", "CacheWeaver"),),
    ),
    Lever(
        name="reasoning",
        where="request",
        what="how much a model thinks before it answers",
        values="off, low, medium, high, or a number of tokens, as the API has them",
        trades="thinking is tokens that nobody reads; hard questions need it",
        moves=("latency", "tokens", "cost", "quality"),
        lossless=False,
        effects=(),
    ),
    Lever(
        name="response_cache",
        where="client",
        what="the answer that was given to the same request before",
        values="off, on",
        trades="milliseconds for repeated questions; an answer may be out of date",
        moves=("latency", "tokens", "cost"),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="semantic_cache",
        where="client",
        what="the answer that was given to a question that is alike, if a guard agrees",
        values="off, or the least likeness, above 0 to 1",
        trades="more hits than the same request gets; some are the answer to another question",
        moves=("latency", "tokens", "cost", "quality"),
        lossless=False,
        effects=(
            Effect(
                "62 to 69 % of calls saved, up to 3 % of hits wrong",
                "claimed",
                "GPT Semantic Cache, 2411.05276",
            ),
            Effect(
                "by likeness alone 44 to 93 % of near misses hit, with our guard 0 to 3 %, on "
                "generated pairs",
                "measured",
                "benchmarks/semantic_cache.py",
            ),
        ),
    ),
    Lever(
        name="offline_batch",
        where="client",
        what="hand over what can wait, at a provider's batch price or in idle hours",
        values="a plan, which latok batch makes of a map",
        trades="half the price; hours instead of seconds",
        moves=("latency", "cost"),
        lossless=True,
        effects=(Effect("half the price, up to 24 hours", "claimed", "OpenAI, price list"),),
    ),
    Lever(
        name="warm_prefix",
        where="client",
        what="ask once for the shared beginning before users come",
        values="off, on",
        trades="the first user waits no longer than the others; a request that nobody reads",
        moves=("latency", "tokens", "cost"),
        lossless=True,
        effects=(),
    ),
    Lever(
        name="concurrency_cap",
        where="client",
        what="requests that the client has open at once; more wait with it",
        values="off, or a number of requests",
        trades="each that is open is faster; the wait moves to where it can be seen and ordered",
        moves=("latency", "cost"),
        lossless=True,
        effects=(),
    ),
)

LEVERS = {row.name: row for row in _ROWS}


def lever_named(name: str) -> Lever:
    """Raises UsageError, with the choices, for a name that is not in the table."""
    if name not in LEVERS:
        raise UsageError(f"no lever '{name}'; there are {', '.join(LEVERS)}")
    return LEVERS[name]
