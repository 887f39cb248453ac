"""Programs that run a model here: what they can turn, how they start, and that they always stop."""
