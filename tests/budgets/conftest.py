"""The programs under test are compiled side by side; their table is printed at the end."""

import json

import pytest

from . import table


@pytest.fixture(scope="session")
def budgets():
    return json.loads(table.BUDGETS.read_text())


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
