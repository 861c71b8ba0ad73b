"""Programs for eight CPU devices, held to budgets.json."""

import pytest

from . import table


@pytest.mark.parametrize("key", table.keys("cpux8"))
def test_budget(key, measured, budgets):
    assert not table.excess(budgets, key, measured[key].result())
