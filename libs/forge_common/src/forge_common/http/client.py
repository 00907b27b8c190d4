"""The one configured HTTP client. Foreign errors become ours here and nowhere else."""

from __future__ import annotations

import httpx2

from forge_common.errors import DependencyDown, RemoteProblem
from forge_common.http.trust import tls_context


def make_client(base_url: str, *, key: str | None = None, timeout_s: float = 30.0) -> httpx2.Client:
    """A client for one service; connect times out after 5 s, reads after `timeout_s`."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx2.Timeout(timeout_s, connect=5.0)
    verify = tls_context() if base_url.startswith("https:") else True
    return httpx2.Client(
        base_url=base_url,
        headers=headers,
        timeout=timeout,
        transport=httpx2.HTTPTransport(verify=verify, retries=1),
    )


def raise_for_problem(response: httpx2.Response) -> None:
    """Raise what a problem document says, with its code, status and fix.

    RemoteProblem for 4xx, a refusal that stands; DependencyDown for 5xx, a service in trouble: worth another try.
    """
    if response.is_success:
        return
    response.read()
    code, message, fix = _problem(response)
    if response.status_code >= 500:
        raise DependencyDown(message, code=code, status=response.status_code, fix=fix)
    raise RemoteProblem(message, code=code, status=response.status_code, fix=fix)


def unreachable(base_url: str, error: Exception) -> DependencyDown:
    """What a connection failure to `base_url` means to the caller."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DependencyDown(
            f"the certificate of {base_url} is not trusted here: {error}",
            code="certificate_untrusted",
            fix="set FORGE_CA_FILE to the PEM file of its CA, or name its fingerprint: forge worker … --ca sha256:…",
        )
    return DependencyDown(
        f"{base_url} does not answer ({type(error).__name__}: {error})",
        code="service_unreachable",
        fix="start the stack with `forge up`, or check the URL in the environment",
    )


def _problem(response: httpx2.Response) -> tuple[str, str, str | None]:
    fallback = f"{response.request.method} {response.request.url.path} answered {response.status_code}"
    try:
        body = response.json()
    except ValueError:
        return "http_error", f"{fallback}: {response.text[:200]}", None
    if not isinstance(body, dict):
        return "http_error", fallback, None
    return str(body.get("code", "http_error")), str(body.get("detail", fallback)), body.get("fix")
