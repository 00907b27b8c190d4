"""The collector's own API, below /forge/v1, one module per noun. Everything but health needs the installation key."""

from fastapi import APIRouter, Depends

from forge_collector.endpoints import (
    compare,
    datasets,
    erase,
    exchanges,
    health,
    imports,
    pairs,
    policy,
    stats,
)
from forge_collector.endpoints.dependencies import require_key

keyed = APIRouter(dependencies=[Depends(require_key)])
for module in (stats, exchanges, imports, datasets, erase, compare, pairs, policy):
    keyed.include_router(module.router)

router = APIRouter(prefix="/v1")
router.include_router(health.router)
router.include_router(keyed)
