"""Programs for TPU v5e, v6e and v5p, and for eight v5e, held to budgets.json."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import SingleDeviceSharding

from . import devices, programs, table
from .hlo import Program

DEVICES = ("v5e", "v6e", "v5p", "v5ex8")


@pytest.mark.parametrize("key", [key for device in DEVICES for key in table.keys(device)])
def test_budget(key, measured, budgets):
    assert not table.excess(budgets, key, measured[key].result())


def _compiled(f, shape, dtype) -> Any:
    x = jax.ShapeDtypeStruct(shape, dtype, sharding=SingleDeviceSharding(devices.one("v5e")))
    return jax.jit(f).lower(x).compile()


LOOP_FREE = {
    "elementwise": lambda x: jnp.exp(x) * 2 - jnp.where(x > 0, x, 1),
    "log_softmax": jax.nn.log_softmax,
    "gradient": jax.grad(lambda x: jax.nn.logsumexp(x, axis=-1).sum().astype(jnp.float32)),
    "two outputs": lambda x: (x.sum(0), x.max(1)),
    "transpose": lambda x: x.T + 1,
    "slice": lambda x: x[:, :4096] + 1,
    "variadic reduce": lambda x: lax.reduce(
        (x, x), (x.dtype.type(0), x.dtype.type(1)), lambda a, b: (a[0] + b[0], a[1] * b[1]), (1,)
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LOOP_FREE)
def test_counts_are_the_compiler_s(name, dtype):
    """Without loops the text gives the traffic and the arithmetic that the compiler reports."""
    compiled = _compiled(LOOP_FREE[name], (8192, 16384), dtype)  # beyond the on-chip memory
    cost, program = compiled.cost_analysis(), Program(compiled)
    assert program.traffic == pytest.approx(cost["bytes accessed"], rel=0.01)
    assert program.flops == pytest.approx(cost.get("flops", 0), rel=0.01)
    assert program.transcendentals == pytest.approx(cost.get("transcendentals", 0), rel=0.01)


def test_loop_counts_as_often_as_it_runs():
    def scanned(x):
        return lax.scan(lambda c, row: (c + jnp.exp(row).sum(), None), jnp.float32(0), x)[0]

    program = Program(_compiled(scanned, (16, 2048, 16384), "float32"))
    assert program.traffic == pytest.approx(16 * 2048 * 16384 * 4, rel=0.02)
    assert program.transcendentals == 16 * 2048 * 16384


def test_least_effort_costs_the_same():
    """The budgets are of programs compiled at the least effort."""
    default = programs.compile_for(devices.one("v5e"), "kl/student", "float32")
    assert table.cost(default, "float32") == table.measure("v5e/float32/kl/student")
