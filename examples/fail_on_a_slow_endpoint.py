"""A check for CI: exits with 1 if an endpoint misses its SLO, with 4 if that cannot be decided.

python examples/fail_on_a_slow_endpoint.py URL [SLO] [REQUESTS]
"""

import sys

import latok

url = sys.argv[1]
slo = sys.argv[2] if len(sys.argv) > 2 else "ttft.p90<1s, tpot.p90<100ms"
requests = int(sys.argv[3]) if len(sys.argv) > 3 else 64

try:
    point = latok.measure(url, slo=slo, concurrency=4, requests=requests, app="chat", scale=0.1)
except latok.LatokError as why:
    sys.exit(f"cannot tell: {why}")

for clause in point.goodput.clauses:
    print(
        f"{clause.clause}: {clause.share:.0%} of {point.counts.offered} requests, met {clause.met}"
    )
if not point.valid:
    print("the client bent the numbers:", "; ".join(point.instrument.why))
    sys.exit(4)
sys.exit({True: 0, False: 1, None: 4}[point.goodput.met])
