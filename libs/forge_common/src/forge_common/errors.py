"""The one error tree of the Forge.

ForgeError
├── CallerError         4xx: the caller can mend it; logged at info
│   ├── NotFound        404
│   ├── Conflict        409
│   ├── Invalid         422
│   └── Forbidden       401 or 403
├── DependencyDown      503: retried with back-off
└── Cancelled           the work was called off; not a failure

Anything that is not a ForgeError is a bug and is logged with its traceback.
"""

from __future__ import annotations

import re


class ForgeError(Exception):
    """What went wrong, which thing it concerns, and what to do now.

    `code` is a stable machine-readable name, by default the class's own in snake case; `status` is the HTTP status
    it is rendered with; `fix` tells the reader what to do, in the imperative.
    """

    status: int = 500
    retryable: bool = False

    def __init__(
        self, message: str, *, code: str | None = None, status: int | None = None, fix: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or snake_case(type(self).__name__)
        self.status = status or type(self).status
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} → {self.fix}" if self.fix else self.message


class CallerError(ForgeError):
    status = 400


class NotFound(CallerError):
    status = 404


class Conflict(CallerError):
    status = 409


class Invalid(CallerError):
    status = 422


class Forbidden(CallerError):
    status = 403


class DependencyDown(ForgeError):
    status = 503
    retryable = True


class Cancelled(ForgeError):
    status = 409


class RemoteProblem(ForgeError):
    """A problem document that another service answered with; keeps its code, status and fix."""


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
