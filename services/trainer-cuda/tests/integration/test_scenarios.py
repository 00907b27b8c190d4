"""What holds on every trainer, on this one."""

from __future__ import annotations

import pytest

from forge_common.testing.trainers.cancelling import TestCancelling
from forge_common.testing.trainers.killing import TestKilling
from forge_common.testing.trainers.outage import TestOutage
from forge_common.testing.trainers.preferences import TestPreferences
from forge_common.testing.trainers.rules import TestRules
from forge_common.testing.trainers.starving import TestStarving

pytestmark = pytest.mark.integration

__all__ = ["TestCancelling", "TestKilling", "TestOutage", "TestPreferences", "TestRules", "TestStarving"]
