"""Ringing doorbells: publish a task by its spec, never by importing the worker."""

from __future__ import annotations

from kombu.exceptions import OperationalError

from forge_common.contracts.tasks import P, TaskSpec
from forge_common.errors import DependencyDown
from forge_common.queue.celery import make_celery


class BrokerDown(DependencyDown):
    """The broker took no message."""


class Producer:
    """Publishes to one broker. Cheap to make; keeps a connection pool."""

    def __init__(self, broker_url: str) -> None:
        self._app = make_celery("forge-producer", broker_url)

    def ring(self, spec: TaskSpec[P], payload: P) -> None:
        """Publish. Raises BrokerDown after about two seconds of trying."""
        self.send(spec.name, spec.queue, payload.model_dump_json())

    def send(self, name: str, queue: str, payload_json: str) -> None:
        """As `ring`, from an outbox row, where the payload is JSON text already."""
        try:
            self._app.send_task(name, args=[payload_json], queue=queue, retry=False, ignore_result=True)
        except (OperationalError, OSError) as error:
            raise BrokerDown(
                f"the broker took no {name}: {error}", fix="is Redis up? `forge status` says"
            ) from error
