"""Settings no engine takes."""

from __future__ import annotations

import pytest

from selfhost.errors import UsageError
from selfhost.planner.plan import PlanRequest
from selfhost.planner.settings import check_request


@pytest.mark.parametrize("name", ["", "--api-key"])
def test_a_served_model_name_is_a_name(name):
    with pytest.raises(UsageError) as raised:
        check_request(PlanRequest(served_model_name=name))
    assert raised.value.message.what == f"not a name for a model: `{name}`"


def test_a_usual_name_passes():
    check_request(PlanRequest(served_model_name="qwen2.5-72b"))
