"""One Celery configuration for every app on the broker: the shortest visibility timeout of any app wins, so none may differ.

Messages are doorbells: JSON text, acknowledged early, no results. What must not be lost is in Postgres.
"""

from __future__ import annotations

import ssl

from celery import Celery

from forge_common.http.trust import ca_file

# Early acknowledgement makes redelivery rare; an hour is Redis's default and longer than any doorbell waits unseen.
VISIBILITY_S = 3600


def make_celery(name: str, broker_url: str) -> Celery:
    """A configured app; connects to nothing yet."""
    app = Celery(name, broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_S,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        visibility_timeout=VISIBILITY_S,
        task_publish_retry=False,
    )
    if broker_url.startswith("rediss:"):
        app.conf.broker_use_ssl = _checked()
    return app


def _checked() -> dict[str, object]:
    """How redis-py speaks TLS: the certificate and the name in it must be right, by the system's CAs or FORGE_CA_FILE's."""
    checks: dict[str, object] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    own = ca_file()
    return checks | ({"ssl_ca_certs": own} if own else {})
