"""Map an endpoint and draw its frontier.

    python examples/map_an_endpoint.py [URL]

Without a URL the embedded engine is started. Cells (# %%) run in a notebook as they are.
"""

# %% What is mapped, and for how long
import sys

import latok

URL = sys.argv[1:2]
BUDGET = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0

# %% The main job: it chooses its own load levels
found = latok.map(*URL, app="chat", budget=BUDGET, say=print)
print(found.advice.text)

# %% The frontier, as numbers
for point in latok.frontier(found.points):
    ttft, all_tokens = point.metrics["ttft"], point.throughput.output_tokens_per_s
    mark = "knee" if point.id == found.knee else ""
    print(f"{point.load!s:>14}  first token {ttft.p50:6.3f} s  {all_tokens:7.1f} tokens/s  {mark}")

# %% And as a picture: the report, one file that opens offline
print(found.report)

# %% Any of it can be read again later, also by another version with better definitions
again = latok.read_point(found.points[0].run)
assert again.metrics["ttft"].n == found.points[0].metrics["ttft"].n
