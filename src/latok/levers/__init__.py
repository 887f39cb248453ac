"""What can be turned: one table of all levers, and those that act on requests or in the client.

The latter are pure: from a request (`latok.workload.parts.Parts`) to a request, or a policy.
"""
