"""How good the answers are: tasks with one right answer, their scores, and verdicts from pairs."""
