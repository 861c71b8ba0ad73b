r"""$\log \sum p^a q^{1-a}$ of two rows of logits: the log-sum-exp of their mixture.

With $w$ the softmax of $a z + (1 - a) z'$ its slopes are $a\,(w - p)$ and $(1 - a)(w - q)$.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from .reduction import AxisName
from .rows import Row, gap_below_top, row
from .rules import Slope, as_they_are, from_statistics, with_slopes
from .softmax import softmax


class _Rows(NamedTuple):
    a: Row
    b: Row
    mixed: Row


def _mixed(order: float, a: tuple[Array, Array], b: tuple[Array, Array]) -> Array:
    """Of gaps, each with its rounding error; -inf where either is masked."""
    lost = (a[0] == -jnp.inf) | (b[0] == -jnp.inf)
    (high_a, low_a), (high_b, low_b) = (tuple(jnp.where(lost, 0, x) for x in z) for z in (a, b))
    change = (high_a - high_b) + (low_a - low_b)
    return jnp.where(lost, -jnp.inf, high_b + order * change)


def _of_rows(order: float, a: Row, b: Row, x: Array, y: Array) -> Array:
    return _mixed(order, a.gap(x)[:2], b.gap(y)[:2])


def _less(one: Row, two: Row, x: Array, y: Array) -> Array:
    """The probability of y less that of x, with digits where both are nearly 1."""
    top = (x == one.top) & (y == two.top)
    apart = two.probability(y) - one.probability(x)
    return jnp.where(top, one.others / one.sum - two.others / two.sum, apart)


def log_affinity(order: float) -> Callable[..., Array]:
    """`fn(axis_name, a, b)` in nats; -inf for disjoint supports."""

    def value(axis_name: AxisName, live: tuple[int, ...], a: Array, b: Array):
        rows = row(a, axis_name), row(b, axis_name)
        mixed = row(_of_rows(order, *rows, a, b), axis_name)
        excess = mixed.log_sum - rows[1].log_sum - order * (rows[0].log_sum - rows[1].log_sum)
        return (mixed.top + excess)[..., 0], _Rows(*rows, mixed)

    def slope(side: int) -> Slope:
        weight = 1 - order if side else order

        def definition(axis_name, a, b):
            gaps = []
            for z in (a, b):
                gap = jnp.where(z == -jnp.inf, -jnp.inf, gap_below_top(axis_name, z))
                gaps.append((gap, jnp.zeros_like(gap)))
            own = softmax(axis_name, (a, b)[side])
            return weight * (softmax(axis_name, _mixed(order, *gaps)) - own)

        @from_statistics(definition)
        def from_rows(axis_name: AxisName, rows: _Rows, a: Array, b: Array) -> Array:
            own, z = (rows.b, b) if side else (rows.a, a)
            mixed = _of_rows(order, rows.a, rows.b, a, b)
            return weight * _less(own, rows.mixed, z, mixed)

        return from_rows

    return with_slopes(value, (slope(0), slope(1)), as_they_are)
