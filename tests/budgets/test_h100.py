"""Programs for one H100 and for eight, held to budgets.json."""

import pytest

from . import table


@pytest.mark.parametrize("key", [*table.keys("h100"), *table.keys("h100x8")])
def test_budget(key, measured, budgets):
    assert not table.excess(budgets, key, measured[key].result())
