"""Which broker a worker dials, from what the registry handed out and from where it was asked."""

from __future__ import annotations

import ssl

import pytest

from forge_common.contracts.workers import WorkerWelcome
from forge_common.queue.celery import make_celery
from forge_common.queue.worker import broker_for

PLAIN, TLS = "redis://:pw@127.0.0.1:18797/0", "rediss://:pw@127.0.0.1:18847/0"


def welcome(**more) -> WorkerWelcome:
    return WorkerWelcome(**({"broker_url": PLAIN, "beat_s": 5.0, "tls_broker_url": TLS} | more))


@pytest.mark.parametrize(
    ("registry", "broker"),
    [
        ("http://127.0.0.1:18795", PLAIN),
        ("http://mac.local:18795", "redis://:pw@mac.local:18797/0"),
        ("https://mac.local:18845", "rediss://:pw@mac.local:18847/0"),
        ("https://127.0.0.1:18845", TLS),
    ],
)
def test_who_came_over_tls_dials_the_broker_over_tls(registry, broker):
    assert broker_for(welcome(), registry) == broker


def test_without_a_way_in_over_tls_the_brokers_own_address_holds():
    own = "rediss://:pw@broker.example.org:6380/0"

    assert broker_for(welcome(broker_url=own, tls_broker_url=None), "https://forge.example.org") == own


def test_a_tls_brokers_certificate_and_name_are_checked_and_a_plain_one_needs_none(monkeypatch, tmp_path):
    monkeypatch.delenv("FORGE_CA_FILE", raising=False)

    checks = make_celery("t", TLS).conf.broker_use_ssl

    assert (checks["ssl_cert_reqs"], checks["ssl_check_hostname"]) == (ssl.CERT_REQUIRED, True)
    assert "ssl_ca_certs" not in checks
    assert not make_celery("t", PLAIN).conf.broker_use_ssl
