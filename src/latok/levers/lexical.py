"""How well texts answer to the words of a question: BM25, by the term.

BM25 as Lucene computes it (Robertson & Zaragoza, "The Probabilistic Relevance Framework", 2009;
k1 1.2, b 0.75), by the package bm25s. Words are lower case, without the plural's s (the "S stemmer"
of Harman, "How effective is suffixing?", 1991), and without English words that say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from latok.levers.extra import from_extra

_WORD = re.compile(r"[^\W_]+")
_EMPTY_WORDS = (
    "a about all also am an and any are as at be been but by can could did do does for from get "
    "give given had has have he her him his how i if in into is it its let me more most much must "
    "my no not of on one only or other our out over please say says she should so some tell than "
    "that the their them then there these they this those to under up us was we were what when "
    "where which while who whom whose why will with would you your"
)
_EMPTY = frozenset(_EMPTY_WORDS.split())


def words(text: str) -> list[str]:
    """The words of a text as they are compared, in order, repetitions too."""
    found = (_stem(word) for word in _WORD.findall(text.lower()))
    return [word for word in found if word not in _EMPTY]


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    if len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word


def term_scores(texts: Sequence[Iterable[str]], question: Iterable[str]) -> NDArray[np.float64]:
    """BM25 of each text (columns) by each different word of the question (rows); the sum of a
    column is the text's score. Words that no text has are left out: there may be no rows."""
    indexed = [list(text) for text in texts]
    vocabulary = {word for text in indexed for word in text}
    terms = [word for word in dict.fromkeys(question) if word in vocabulary]
    if not terms:
        return np.zeros((0, len(indexed)))
    index = from_extra("bm25s").BM25(method="lucene", k1=1.2, b=0.75)
    index.index(indexed, show_progress=False)
    return np.array([index.get_scores([term]) for term in terms], dtype=np.float64)


def scores(texts: Sequence[Iterable[str]], question: Iterable[str]) -> NDArray[np.float64]:
    """BM25 of each text."""
    return np.asarray(term_scores(texts, question).sum(axis=0))
