"""User prompts that a demo or a test sends through the collector: training instances, never held-out ones."""

from collections.abc import Iterator
from itertools import islice

from forge_common.nano.general import training_questions
from forge_common.nano.tasks import training_tasks


def coding_requests(n: int, seed: int = 42) -> Iterator[str]:
    """`n` distinct requests for a Python function, spread evenly over the families, in both wordings."""
    return (task.prompt for task in islice(training_tasks(seed), n))


def general_requests(n: int, seed: int = 42) -> Iterator[str]:
    """`n` distinct questions of the general domain, spread evenly over the skills."""
    return (question.prompt for question in islice(training_questions(seed), n))
