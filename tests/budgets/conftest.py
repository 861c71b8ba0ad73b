"""The programs under test are compiled side by side; their table is printed at the end."""

import json

from . import table  # first: it sets the environment  # isort: skip

import jax
import pytest


@pytest.fixture(scope="session")
def budgets():
    found = json.loads(table.BUDGETS.read_text())
    assert jax.__version__ == found["jax"], "the budgets are of another version"
    return found


@pytest.fixture(scope="session")
def measured(request):
    params = (getattr(item, "callspec", None) for item in request.session.items)
    keys = [spec.params["key"] for spec in params if spec and "key" in spec.params]
    request.config.stash[MEASURED] = futures = table.measure_all(keys)
    return futures


MEASURED = pytest.StashKey[dict]()


def pytest_terminal_summary(terminalreporter, config):
    futures = config.stash.get(MEASURED, {})
    done = [(k, f.result()) for k, f in futures.items() if f.done() and not f.exception()]
    for line in table.table(done, json.loads(table.BUDGETS.read_text())):
        terminalreporter.write_line(line)
