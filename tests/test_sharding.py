"""A class axis split over devices and over processes: the same numbers, and little exchanged."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from . import two_processes
from .budgets import sharded

NAMES = ("entropy", "kl", "chi squared")


@pytest.mark.parametrize("how", sharded.HOW)
def test_split_class_axis_exchanges_rows_in_few_rounds(how):
    """Several functionals and their gradients in one program; tests/budgets has each alone."""
    forward, backward = sharded.passes(jax.devices()[:8], NAMES, how)
    budgets = json.loads((Path(__file__).parent / "budgets/budgets.json").read_text())
    measured = [budgets["measured"][f"cpux8/{how}/{name}"] for name in sharded.HELD]
    assert forward.rounds <= max(row["rounds"] for row in measured)
    assert max(forward.exchanged) / sharded.ROWS <= budgets["goals"]["x8"]["largest"]
    assert not backward.exchanged


@pytest.mark.exhaustive
def test_two_processes_give_the_numbers_of_one(tmp_path):
    """Two real processes over loopback, each with half of the classes."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.two_processes", address, str(rank), str(tmp_path)],
            cwd=Path(__file__).parents[1],
            env=environment | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in processes:
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()
    one = jax.jit(two_processes.evaluate)(*map(np.asarray, two_processes.arguments()))
    for rank in range(2):
        two = np.load(tmp_path / f"{rank}.npz")
        assert set(two.files) == set(one)
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, rtol=2e-5, atol=1e-7, err_msg=name)
