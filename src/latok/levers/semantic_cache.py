"""The lever `semantic_cache=LIKENESS`: a question that is like one before gets that one's answer.

Likeness alone is no ground for that: "revenue in Q3 2024" is more like "revenue in Q3 2025" than
like most of its own paraphrases, by character n-grams as by an embedding model, so that no
threshold tells the two apart (benchmarks/semantic_cache.py). So a guard must agree, too: `differs`
says in what two questions differ that is never a matter of words. It reads no meaning: of a lower
case word for another (rice, pasta) it knows nothing, and such false hits stay.

Likeness is the cosine of character n-grams weighted by TF-IDF, which needs no model. A paraphrase
in other words is therefore missed, which costs a request and harms nobody.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latok.errors import UsageError
from latok.levers.response_cache import ResponseCache, key

Guard = Callable[[str, str], str]

# --- likeness ------------------------------------------------------------------------------------

_SIZES = (3, 4)  # characters of an n-gram; shorter ones say little, longer ones miss inflections
_BUCKETS = 1 << 12  # n-grams are hashed: two in one bucket are rare enough in a question


@lru_cache(maxsize=2048)  # what was asked is weighed anew whenever another question comes
def _counts(text: str) -> NDArray[np.float32]:
    """How often each n-gram stands in a text, by bucket; none goes from a word to the next."""
    found = np.zeros(_BUCKETS, dtype=np.float32)
    for word in re.findall(r"\w+", text.lower()):
        padded = f" {word} "
        for size in _SIZES:
            for at in range(max(len(padded) - size, 0) + 1):
                found[zlib.crc32(padded[at : at + size].encode()) % _BUCKETS] += 1
    return found


class Likeness:
    """How alike questions are, from 0 to 1. An n-gram that stands in many of `texts` says little:
    its weight is 1 + ln((1 + texts) / (1 + texts with it))."""

    def __init__(self, texts: Sequence[str]) -> None:
        rows = [_counts(text) for text in texts] or [np.zeros(_BUCKETS, dtype=np.float32)]
        counts = np.stack(rows)
        having = (counts > 0).sum(axis=0)
        self._weights = (1 + np.log((1 + len(texts)) / (1 + having))).astype(np.float32)
        self._rows = self._unit(counts)

    def to(self, text: str) -> NDArray[np.float32]:
        """Of a text to each of the texts, in their order."""
        likeness: NDArray[np.float32] = self._rows @ self._unit(_counts(text)[None])[0]
        return likeness

    def _unit(self, counts: NDArray[np.float32]) -> NDArray[np.float32]:
        # a word that stands twice says little more than once
        weighted = np.log1p(counts) * self._weights
        lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
        unit: NDArray[np.float32] = weighted / np.where(lengths > 0, lengths, 1)
        return unit


# --- the guard -----------------------------------------------------------------------------------

_DIGITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety hundred"
# "one" is seldom a number in a question
_NUMBERS = {word: str(n) for n, word in enumerate(_DIGITS.split()) if n != 1}
_NUMBERS |= {word: str(10 * n) for n, word in enumerate(_TENS.split(), 3)}
_NUMBERS |= {"thousand": "1000", "million": "1000000", "billion": "1000000000", "dozen": "12"}
_NUMBERS |= {"once": "1x", "twice": "2x", "half": "1/2", "quarter": "1/4", "third": "1/3"}
_NUMBERS |= {"first": "1st", "second": "2nd", "both": "2"}
# Words that are a number's unit, or a time of their own: one for another is another question.
_UNITS_WORDS = (
    "mm cm m km inch inches foot feet yard yards mile miles g gram grams kg kilogram kilograms mg "
    "lb lbs pound pounds ounce ounces oz ton tons tonne tonnes ml l liter liters litre litres "
    "gallon gallons cup cups ms millisecond milliseconds s sec second seconds min minute minutes "
    "h hour hours day days week weeks month months year years decade decades century centuries am "
    "pm usd eur gbp jpy chf dollar dollars euro euros yen cent cents percent celsius fahrenheit "
    "kelvin kb mb gb tb kib mib gib bit bits byte bytes watt watts kw kwh volt volts amp amps hz "
    "khz mhz ghz daily weekly monthly yearly annual annually hourly quarterly monday tuesday "
    "wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december spring summer autumn winter today tomorrow yesterday "
    "tonight morning noon evening midnight"
)
_UNITS = frozenset(_UNITS_WORDS.split())
# These are units only behind a number.
_EITHER_WORDS = "am h s m g l may march second minute spring foot pound cup ton byte bit"
_EITHER = frozenset(_EITHER_WORDS.split())
_NOT_WORDS = (
    "not no never none nobody nothing nowhere neither nor cannot without except excluding unless "
    "hardly barely scarcely lack lacks lacking stop stops avoid fail fails failed unable"
)
_NOT = frozenset(_NOT_WORDS.split())
_OPPOSITE = (
    "enable disable|allow deny forbid prevent block|accept reject refuse|start stop|begin end "
    "finish|open close|on off|in out|into from|up down|increase decrease reduce|raise lower|rise "
    "fall|grow shrink|add remove delete subtract|insert remove|install uninstall|create delete "
    "destroy|show hide|lock unlock|encrypt decrypt|compress decompress|encode decode|upload "
    "download|import export|send receive|push pull|buy sell|lend borrow|win lose|love hate|like "
    "dislike|save spend|connect disconnect|attach detach|mount unmount|subscribe "
    "unsubscribe|follow unfollow|login logout|minimum maximum|min max|minimal maximal|most "
    "least|more less fewer|best worst|better worse|good bad|high low|higher lower|highest "
    "lowest|large small big little|larger smaller bigger|largest smallest biggest|long "
    "short|longer shorter|longest shortest|fast slow|faster slower|fastest slowest|early "
    "late|earlier later|earliest latest|before after|first last|next previous|old new young|older "
    "newer younger|oldest newest youngest latest|hot cold warm cool|light dark heavy|strong "
    "weak|hard easy soft|difficult easy|rich poor|cheap expensive|cheapest dearest|full "
    "empty|deep shallow|wide narrow|thick thin|inside outside|above below|over under|left "
    "right|front back|north south|east west|northern southern|eastern western|true false|right "
    "wrong|correct incorrect|safe dangerous|legal illegal|public private|male female|man "
    "woman|men women|husband wife|son daughter|boy girl|mother father|brother sister|uncle "
    "aunt|king queen|alive dead|born died|birth death|ascending descending|horizontal "
    "vertical|row column|rows columns|input output|read write|source target|positive "
    "negative|plus minus|advantage disadvantage|advantages disadvantages|pros cons|benefit "
    "risk|benefits risks|cause effect|causes effects|success failure|asleep awake|with "
    "without|gain loss|profit loss|sunrise sunset|arrive depart leave|arrival departure|internal "
    "external|synchronous asynchronous|mutable immutable|always never|all none|everyone "
    "nobody|debit credit|client server|teacher student|employer employee"
)
_OPPOSITES: dict[str, set[int]] = {}
for _group, _words in enumerate(_OPPOSITE.split("|")):
    for _word in _words.split():
        _OPPOSITES.setdefault(_word, set()).add(_group)
_UN = re.compile(r"(?:un|in|im|il|ir|dis|non|de|anti|mis)-?(\w{3,})")

# With which a sentence may begin, so that its capital says nothing; another word may be a name.
_OPENERS_WORDS = (
    "who what when where why how which whose is are was were am do does did has have had can "
    "could may might must should shall would will please tell give explain show list write find "
    "name say describe compare in on at for from to of by with without before after between "
    "during if as the a an my your our their his her its this that these those i we you he she it "
    "they there here and or but not no let i'm i've i'd i'll what's how's where's who's it's "
    "isn't aren't wasn't don't doesn't didn't can't couldn't won't"
)
_OPENERS = frozenset(_OPENERS_WORDS.split())
_FIRST_PERSON = ("i", "i'm", "i've", "i'd", "i'll")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|`([^`]+)`|«([^»]+)»|(?<!\w)'([^']+)'(?!\w)")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
# With a sign of code in it, or capitals inside: paths, flags, addresses, versions, `snake_case`.
_IDENTIFIER = re.compile(
    r"(?=\S*[\w@])(?=\S*(?:\w[_@/\\.:]\w|--\w|[a-z][A-Z]|\w\(\)|\w\+\+|\w#))\S+"
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_SYMBOLS = re.compile(r"[$€£¥%°<>=±]|(?<=\d)\s?[CF]\b")


class _Facts(NamedTuple):
    """What a question says that is never a matter of words, in its order."""

    numbers: tuple[str, ...]
    symbols: tuple[str, ...]
    units: tuple[str, ...]
    quoted: tuple[str, ...]
    identifiers: tuple[str, ...]
    negations: int
    names: tuple[str, ...]
    words: tuple[str, ...]


def _facts(text: str) -> _Facts:
    quoted = tuple(next(filter(None, found)).strip() for found in _QUOTED.findall(text))
    identifiers = tuple(word.strip(".,;:!?()[]") for word in _IDENTIFIER.findall(text))
    words: list[str] = []
    names: list[str] = []
    negations = 0
    for found in _WORD.finditer(text):
        word = found[0].replace("’", "'")
        negations += word.lower().endswith("n't") or word.lower() in _NOT
        plain = word.removesuffix("'s").lower()
        words.append(plain)
        opening = text[: found.start()].rstrip(" \t\n\"'“`«([-*")
        begins = not opening or opening[-1] in ".!?:;\n"
        common = plain in _OPENERS or plain.endswith("ing")
        if word[0].isupper() and not (common and (begins or plain in _FIRST_PERSON)):
            names.append(plain)
    numbers = [_number(found) for found in _NUMBER.findall(text)]
    return _Facts(
        numbers=(*numbers, *(_NUMBERS[word] for word in words if word in _NUMBERS)),
        symbols=tuple(sorted(found.strip() for found in _SYMBOLS.findall(text))),
        units=tuple(_units(text)),
        quoted=quoted,
        identifiers=identifiers,
        negations=negations,
        names=tuple(names),
        words=tuple(words),
    )


def _number(text: str) -> str:
    """`1,000` is 1000 and `2.50` is 2.5; a date, a time and a range are left as they stand."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+", text):
        text = text.replace(",", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        whole, _, part = text.partition(".")
        part = part.rstrip("0")
        return (whole.lstrip("0") or "0") + (f".{part}" if part else "")
    return text


def _units(text: str) -> Iterator[str]:
    before = ""
    for word in _WORD.findall(re.sub(r"(?<=\d)(?=[^\W\d_])", " ", text.lower())):
        counted = before in _NUMBERS or before[:1].isdecimal()
        if word in _UNITS and (counted or word not in _EITHER):
            yield _singular(word)
        before = word


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def differs(one: str, other: str) -> str:
    """In what two questions differ so that the answer to one is none to the other: numbers, units,
    quotes, identifiers, negation, names, opposites. "" where that is nothing that it knows."""
    a, b = _facts(one), _facts(other)
    # in their order: "from 3 to 5" is not "from 5 to 3", nor Rome to Oslo the way back
    for what in ("numbers", "symbols", "units", "quoted", "identifiers"):
        if getattr(a, what) != getattr(b, what):
            return what
    if a.negations != b.negations:
        return "negation"
    # in small letters a name is a word like others: what is one here must be a word there
    names = dict.fromkeys((*a.names, *b.names))
    if [word for word in a.words if word in names] != [word for word in b.words if word in names]:
        return "names"
    return "opposites" if any(_opposed(a.words, b.words)) else ""


def _opposed(one: Sequence[str], other: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Words of one that only it has, with an opposite that only the other has."""
    mine, theirs = Counter(one) - Counter(other), Counter(other) - Counter(one)
    for a in mine:
        for b in theirs:
            one_of, other_of = _forms(a), _forms(b)
            groups = {group for form in one_of for group in _OPPOSITES[form]}
            if not one_of & other_of and any(groups & _OPPOSITES[form] for form in other_of):
                yield a, b
            for long, short in ((a, b), (b, a)):
                found = _UN.fullmatch(long.removesuffix("ly"))
                if found and found[1] == short.removesuffix("ly"):
                    yield a, b


def _forms(word: str) -> set[str]:
    """The words with an opposite of which it may be a form."""
    forms = {word}
    for ending in ("s", "es", "d", "ed", "ing", "ly"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word.removesuffix(ending)
            forms |= {stem, f"{stem}e"}
            if stem[-1] == stem[-2]:  # stopped
                forms.add(stem[:-1])
    return forms & _OPPOSITES.keys()


# --- the cache -----------------------------------------------------------------------------------


class SemanticCache:
    """Answers to questions that are alike, out of a `ResponseCache`, which bounds their time and
    their bytes and refuses what may not be kept.

    A `scope` is all of a request but its question (tenant, model, instructions, parameters): only
    within one may an answer be shared. At most `most` questions of a scope are compared, the last
    ones asked. Raises UsageError without a guard, and for a threshold outside of 0 to 1.
    """

    def __init__(
        self, answers: ResponseCache, *, threshold: float, guard: Guard | None, most: int = 1000
    ) -> None:
        if guard is None:
            raise UsageError(
                "a cache by likeness wants a guard: no threshold tells near misses from paraphrases"
            )
        if not 0 < threshold <= 1:
            raise UsageError(f"a likeness is above 0 and at most 1, not {threshold:g}")
        self._answers, self._threshold, self._guard, self._most = answers, threshold, guard, most
        self._asked: dict[str, list[str]] = {}
        self._likeness: dict[str, Likeness] = {}

    def get(self, scope: str, question: str, now: float) -> bytes | None:
        """The answer to the same question, else to the most alike one that is alike enough and
        passes the guard. With a threshold of 1 only the first: questions of the same words in
        another order are as alike as can be."""
        asked = self._asked.get(scope, [])
        if question in asked:
            same = self._answers.get(_key(scope, question), now)
            if same is not None:
                return same
        if self._threshold == 1:
            return None
        if scope not in self._likeness:
            self._likeness[scope] = Likeness(asked)
        likeness = self._likeness[scope].to(question)[: len(asked)]
        for n in np.argsort(-likeness, kind="stable"):
            if likeness[n] < self._threshold:
                return None
            if self._guard(asked[n], question):
                continue
            answer = self._answers.get(_key(scope, asked[n]), now)
            if answer is not None:
                return answer
        return None

    def put(
        self,
        scope: str,
        question: str,
        answer: bytes,
        now: float,
        *,
        status: int,
        ended: bool,
        drawn: bool,
    ) -> bool:
        """Whether it was kept; as `ResponseCache.put`."""
        place = _key(scope, question)
        if not self._answers.put(place, answer, now, status=status, ended=ended, drawn=drawn):
            return False
        asked = self._asked.setdefault(scope, [])
        if question in asked:
            asked.remove(question)
        asked.append(question)
        del asked[: -self._most]
        self._likeness.pop(scope, None)
        return True


def parted(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """A request's question (what was said last) and all the rest, which is its scope; None where
    the question is no plain text."""
    for name in ("messages", "input"):
        said = body.get(name)
        if isinstance(said, list) and said and isinstance(said[-1], dict):
            *before, last = said
            question = last.get("content")
            rest = {**body, name: [*before, {**last, "content": ""}]}
            return (question, rest) if isinstance(question, str) else None
    for name in ("prompt", "inputs", "input", "text"):
        if isinstance(question := body.get(name), str):
            return question, {**body, name: ""}
    return None


def _key(scope: str, question: str) -> str:
    return key(scope, "semantic", {"question": question})


# --- how often it is wrong -----------------------------------------------------------------------


class Pair(NamedTuple):
    """Two questions. `same`: one answer serves both; if not, `kind` says what was changed."""

    one: str
    other: str
    same: bool
    kind: str


class Rates(NamedTuple):
    """At a threshold: the shares of pairs that hit, of those that may not and of those that may."""

    threshold: float
    false: float
    true: float


def false_hits(
    pairs: Sequence[Pair], thresholds: Sequence[float], guard: Guard | None
) -> list[Rates]:
    """How often a cache would be wrong and right; `guard` None: by likeness alone, to compare.

    Of each pair one question is in the cache and the other is asked. Raises UsageError for pairs
    all of which may hit, or none.
    """
    same = np.array([pair.same for pair in pairs])
    if same.all() or not same.any():
        raise UsageError("pairs of both sorts are needed: some that may share an answer, some not")
    known = Likeness([pair.one for pair in pairs])
    likeness = np.array([known.to(pair.other)[n] for n, pair in enumerate(pairs)])
    if guard is not None:
        let = np.array([not guard(pair.one, pair.other) for pair in pairs])
        likeness = np.where(let, likeness, -1.0)
    hits = {threshold: likeness >= threshold for threshold in thresholds}
    return [Rates(t, float(hit[~same].mean()), float(hit[same].mean())) for t, hit in hits.items()]
