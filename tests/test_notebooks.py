"""The notebooks run, in less than 90 seconds each, and what is stored in them is what they give."""

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from . import divergence_optima

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 90
NUMBER = re.compile(r"-?\d+\.\d+")


def execute(notebook: Any) -> Any:
    """A copy with fresh outputs, from a kernel of the interpreter that runs the tests."""
    fresh: Any = nbformat.from_dict(notebook)
    for cell in code_cells(fresh):
        cell.update(outputs=[], execution_count=None)
    # With no folder to look in, the manager offers this interpreter's own kernel and no other.
    specs = KernelSpecManager(kernel_dirs=[])
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    client = NotebookClient(fresh, km=kernel, timeout=SECONDS)
    return client.execute(cleanup_kc=True)


def processor_seconds() -> float:
    """Those of all processes that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: Any) -> list[str]:
    """Of each output of a cell, whether it is a figure, a table, an error, ..."""
    found = []
    for output in cell.outputs:
        if output.output_type in ("display_data", "execute_result"):
            found.append(" ".join(sorted(output.data)))
        else:
            found.append(output.get("name", output.output_type))
    return found


def last_table(notebook: Any) -> tuple[list[str], list[float]]:
    """The words and the numbers of the last table."""
    tables = [
        output.data["text/markdown"]
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "text/markdown" in output.get("data", {})
    ]
    numbers = [float(number) for number in NUMBER.findall(tables[-1])]
    return NUMBER.split(tables[-1]), numbers


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_gives_what_is_stored(path):
    stored = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    cells = code_cells(stored)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not {"error", "stderr"} & set(kinds(cell)), cell.source

    # Seconds of processor time, which other work on the machine does not stretch.
    before = processor_seconds()
    fresh = execute(stored)
    assert 0 < processor_seconds() - before < SECONDS
    assert [kinds(cell) for cell in cells] == [kinds(cell) for cell in code_cells(fresh)]
    (words, numbers), (fresh_words, fresh_numbers) = last_table(stored), last_table(fresh)
    assert numbers and words == fresh_words
    np.testing.assert_allclose(numbers, fresh_numbers, rtol=1e-6, atol=1.5e-6)


def test_the_alpha_path_has_the_optima_of_a_dense_grid():
    """The last table of notebook 04, against optima that SciPy finds."""
    notebook = nbformat.read(NOTEBOOKS[0].parent / "04_alpha_path.ipynb", as_version=4)
    tables = [
        output.data["text/markdown"]
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "text/markdown" in output.get("data", {})
    ]
    rows = [line.strip("| ").split(" | ") for line in tables[-1].splitlines()[2:]]
    assert {name for name, *_ in rows} == {"major mode", "minor mode", "both modes"}
    for _, order, loc, scale, value in rows:
        divergence = divergence_optima.renyi(float(order))
        least, best_loc, best_scale = divergence_optima.optimum(
            divergence, "forward", "asym1d", float(loc) + 0.01, 1.02 * float(scale)
        )
        np.testing.assert_allclose(float(value), least / float(order), atol=2e-6)
        np.testing.assert_allclose([float(loc), float(scale)], [best_loc, best_scale], atol=2e-5)
