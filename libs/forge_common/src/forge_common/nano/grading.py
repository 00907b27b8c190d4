"""Run an answer against its task's cases, in this process: for answers made here, never for a user's model.

The evaluator judges models, in its sandbox.
"""

from forge_common.nano.tasks import Case, Task, cases

FENCE = "```"


def passes(task: Task, answer: str, against: list[Case] | None = None) -> bool:
    """Whether the code in `answer` returns, for every case, the expected value of the expected type."""
    namespace: dict[str, object] = {}
    try:
        exec(compile(_code(answer), "<answer>", "exec"), namespace)  # noqa: S102 - see the module's docstring
        function = namespace[task.name]
        assert callable(function)
        return all(_equal(function(*case.args), case.expected) for case in against or cases(task))
    except Exception:  # noqa: BLE001 - whatever a wrong answer raises, it is wrong
        return False


def _equal(value: object, expected: object) -> bool:
    return type(value) is type(expected) and value == expected


def _code(answer: str) -> str:
    if FENCE not in answer:
        return answer
    return answer.split(FENCE)[1].removeprefix("python\n")
