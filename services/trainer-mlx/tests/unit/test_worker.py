from __future__ import annotations

import pytest

from forge_trainer_mlx.worker import MlxMissing, check_installed


def test_a_machine_without_mlx_is_told_what_to_do():
    with pytest.raises(MlxMissing, match="no-such-mlx is not installed") as caught:
        check_installed(["no-such-mlx"])

    assert "forge worker cpu" in caught.value.fix
