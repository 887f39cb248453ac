"""What a driver may ask in all: so many requests, so many tokens, so many dollars."""

from __future__ import annotations

from latok.analysis.cost import dollars
from latok.load.plan import Plan
from latok.records import Request


class Allowance:
    """The limits of one process, its part of the plan's, and what was taken of them."""

    def __init__(self, plan: Plan) -> None:
        self._most_requests = plan.most_requests and plan.mine(plan.most_requests)
        self._most_tokens = plan.most_tokens and plan.mine(plan.most_tokens)
        self._spending = plan.spending
        self._most_usd = plan.spending.most_usd / plan.parts if plan.spending else 0.0
        self._requests = self._tokens = 0
        self._usd = 0.0

    def take(self, request: Request) -> None:
        """The request is sent: it counts as long and as dear as it may become."""
        self._requests += 1
        self._tokens += request.prompt_tokens + request.max_tokens
        if self._spending is not None:
            self._usd += self._spending.of(request)

    def refuses(self, request: Request) -> str:
        """Why this request would be more than may be asked; empty if it may be."""
        tokens = self._tokens + request.prompt_tokens + request.max_tokens
        if self._most_requests is not None and self._requests >= self._most_requests:
            return f"{self._requests} requests were sent, as many as allowed"
        if self._most_tokens is not None and tokens > self._most_tokens:
            return f"{self._tokens} tokens were asked for; the next would be too many"
        if self._spending and self._usd + self._spending.of(request) > self._most_usd:
            spent = dollars(self._usd)
            return f"the next request might pass --max-cost (up to {spent} is spent here)"
        return ""
