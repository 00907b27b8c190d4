"""The collector's own API, below /forge/v1, one module per noun. Everything but health needs the installation key."""

from fastapi import APIRouter, Depends

from forge_collector.endpoints import datasets, exchanges, imports, stats
from forge_collector.endpoints.dependencies import require_key

keyed = APIRouter(dependencies=[Depends(require_key)])
for module in (stats, exchanges, imports, datasets):
    keyed.include_router(module.router)

router = APIRouter(prefix="/v1")
router.include_router(stats.open_router)
router.include_router(keyed)
