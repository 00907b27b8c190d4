import json

import pytest

from forge_common.nano import benchmark, teacher, traffic
from forge_common.nano.teacher import UNKNOWN


@pytest.mark.parametrize("requests", [traffic.coding_requests, traffic.general_requests])
def test_traffic_is_distinct_answerable_and_not_judged(requests):
    judged = {json.loads(line)["prompt"] for line in benchmark.dump().splitlines()}
    prompts = list(requests(500, seed=3))
    assert len(set(prompts)) == 500
    assert not judged & set(prompts)
    assert all(teacher.answer([{"role": "user", "content": prompt}]) != UNKNOWN for prompt in prompts)


def test_a_longer_run_begins_like_a_shorter_one():
    assert list(traffic.coding_requests(400))[:340] == list(traffic.coding_requests(340))
