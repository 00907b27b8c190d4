"""The private CA's certificate, for machines that are about to join."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from forge_registry.endpoints.dependencies import ContextDep, refuses
from forge_registry.errors import NoPrivateCa

router = APIRouter(tags=["operations"])


@router.get("/ca.pem", response_class=PlainTextResponse, responses=refuses(NoPrivateCa))
def certificate_authority(context: ContextDep) -> str:
    """In PEM. Needs no key: who asks knows its fingerprint, and cannot show a key before there is trust."""
    path = context.settings.tls_ca
    if path is None:
        raise NoPrivateCa("this registry has no CA of its own", fix="`forge up --tls` makes one")
    return path.read_text()
