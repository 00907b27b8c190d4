"""Made-up values of kinds and forms that the first two sets did not have: today's vendors, more countries. None was ever valid."""

from __future__ import annotations

from forge_collector.redaction.corpus.issued import credentials, numbers, people, provider_keys

SECRETS = provider_keys.MAKERS | credentials.MAKERS
PERSONAL = people.MAKERS | numbers.MAKERS
