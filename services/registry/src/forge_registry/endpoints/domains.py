"""Domains, their benchmarks, the active domain, and base models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from sqlmodel import Session, col, select

from forge_common.contracts.base import ArtifactRef, Contract, Sha256, utc_now
from forge_common.contracts.domain import DeployMode, DomainDocument
from forge_common.db.request import SessionDep
from forge_common.errors import Conflict, Invalid
from forge_registry import promotions, repository
from forge_registry.auth import Admin, Caller, Reader
from forge_registry.endpoints.dependencies import EVERYWHERE, ContextDep, refuses
from forge_registry.errors import BenchmarkMissing, DomainMismatch, DomainUnknown
from forge_registry.models import Base, Domain

router = APIRouter(prefix="/v1", tags=["domains"], responses=EVERYWHERE)


class PrefixTaken(Conflict):
    """Two domains with one model prefix would overwrite each other's versions in the engine."""


class NotServable(Invalid):
    """The domain trains what its way of deploying cannot serve."""


class ActiveDomain(Contract):
    """The domain that commands mean when they name none."""

    domain: str


class BaseWeights(Contract):
    """A base model's weights as an artifact bundle, for bases that no model hub offers."""

    bundle: Sha256
    revision: str = "main"


class BaseView(Contract):
    name: str
    revision: str
    bundle: Sha256


@router.get("/domains")
def list_domains(_: Reader, session: SessionDep) -> list[DomainDocument]:
    return [row.document for row in repository.domains(session)]


@router.get("/domains/{domain}", responses=refuses(DomainUnknown))
def show_domain(domain: str, _: Reader, session: SessionDep) -> DomainDocument:
    return repository.domain(session, domain).document


@router.put("/domains/{domain}", responses=refuses(DomainMismatch, NotServable, PrefixTaken))
def put_domain(domain: str, document: DomainDocument, who: Admin, session: SessionDep) -> DomainDocument:
    """Add a domain, or replace its document. A running run keeps the document that it began with.

    A document without a benchmark keeps the one that was uploaded.
    """
    if document.id != domain:
        raise DomainMismatch(f"the document is of {document.id!r}, the path says {domain!r}")
    _refuse_unservable(document)
    _refuse_taken_prefix(session, document)
    return _save(session, document, who)


@router.get("/domains/{domain}/benchmark", responses=refuses(DomainUnknown, BenchmarkMissing))
def show_benchmark(domain: str, _: Reader, context: ContextDep, session: SessionDep) -> ArtifactRef:
    document = repository.domain(session, domain).document
    if document.benchmark is None:
        raise BenchmarkMissing(
            f"domain {domain!r} has no benchmark", fix=f"PUT /v1/domains/{domain}/benchmark"
        )
    size = context.store.path(document.benchmark).stat().st_size
    return ArtifactRef(sha256=document.benchmark, size=size, kind="benchmark")


@router.put("/domains/{domain}/benchmark", status_code=204, responses=refuses(DomainUnknown))
def put_benchmark(
    domain: str, benchmark: ArtifactRef, who: Admin, context: ContextDep, session: SessionDep
) -> None:
    """Name an uploaded artifact as the domain's benchmark."""
    context.store.path(benchmark.sha256)
    document = repository.domain(session, domain, lock=True).document
    _save(session, document.model_copy(update={"benchmark": benchmark.sha256}), who)


@router.get("/active-domain")
def show_active_domain(_: Reader, session: SessionDep) -> ActiveDomain:
    return ActiveDomain(domain=repository.active_domain(session))


@router.put("/active-domain", responses=refuses(DomainUnknown))
def set_active_domain(active: ActiveDomain, _: Admin, session: SessionDep) -> ActiveDomain:
    repository.domain(session, active.domain)
    repository.installation(session, lock=True).active_domain = active.domain
    promotions.announce(session)
    return active


@router.get("/bases")
def list_bases(_: Reader, session: SessionDep) -> list[BaseView]:
    rows = session.exec(select(Base).order_by(col(Base.name))).all()
    return [BaseView(name=row.name, revision=row.revision, bundle=row.bundle) for row in rows]


@router.put("/bases/{name:path}")
def put_base(
    name: Annotated[str, Path(min_length=1)],
    weights: BaseWeights,
    who: Admin,
    context: ContextDep,
    session: SessionDep,
) -> BaseView:
    """Register base weights. Domains whose `base_model` is this name train on them from their next run on."""
    context.store.path(weights.bundle)
    session.merge(Base(name=name, revision=weights.revision, bundle=weights.bundle, updated_at=utc_now()))
    repository.audit(session, by=who.name, action="base.put", subject=name, bundle=weights.bundle)
    return BaseView(name=name, revision=weights.revision, bundle=weights.bundle)


def _refuse_unservable(document: DomainDocument) -> None:
    if document.training.method == "dora" and document.deploy.mode is DeployMode.ADAPTER:
        raise NotServable(
            "a DoRA adapter scales whole rows of the base, which engines cannot do to a base that is already loaded",
            fix="set deploy.mode to fused, or training.method to lora",
        )


def _refuse_taken_prefix(session: Session, document: DomainDocument) -> None:
    for other in repository.domains(session):
        if other.id != document.id and other.document.model_prefix == document.model_prefix:
            raise PrefixTaken(
                f"the model prefix {document.model_prefix!r} belongs to domain {other.id!r}",
                fix="choose another model_prefix",
            )


def _save(session: Session, document: DomainDocument, who: Caller) -> DomainDocument:
    row = session.get(Domain, document.id, with_for_update={"key_share": True})
    if row is None:
        row = Domain(id=document.id, document=document)
    elif document.benchmark is None:
        document = document.model_copy(update={"benchmark": row.document.benchmark})
    row.document, row.updated_at = document, utc_now()
    session.add(row)
    session.flush()
    promotions.announce(session)
    repository.audit(session, by=who.name, action="domain.put", subject=document.id)
    return document
