r"""Any sum over the classes of a term of two rows of logits.

Where $x_i$ is the slope of the $i$-th term in $\log p_i$, that of the sum in the logits of $p$ is
$x_i - p_i \sum x = y_i - p_i \sum y$ with $y_i = x_i - p_i c$ for any $c$: it is chosen so that
$y$ is 0 at the top class, without which there were no digits at a point mass.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .pairs import Pair, pair_and_origins
from .reduction import AxisName, total, two_totals
from .rows import Origin, Row, sought
from .rules import Slope, from_statistics, with_slopes
from .softmax import log_ratio, log_softmax, softmax


class Entries(NamedTuple):
    """What a term is made of."""

    log_p: Float[Array, "*batch v"]
    log_q: Float[Array, "*batch v"]
    p: Float[Array, "*batch v"]
    q: Float[Array, "*batch v"]
    r: Float[Array, "*batch v"]


Nodes = Callable[[Entries], Array]


class _Both(NamedTuple):
    pair: Pair
    origins: tuple[Origin, Origin]


class _Top(NamedTuple):
    """The top class of one side: the logits of both there, and the constant."""

    a: Float[Array, "*batch 1"]
    b: Float[Array, "*batch 1"]
    constant: Float[Array, "*batch 1"]


class _Centre(NamedTuple):
    pair: Pair
    top: _Top
    mean: Float[Array, "*batch 1"]


def _entries(pair: Pair, a: Array, b: Array) -> Entries:
    def log(row: Row, z: Array) -> Array:
        return row.gap(z)[0] - row.log_sum

    r, p, q = pair.entries(a, b)
    return Entries(log(pair.a, a), log(pair.b, b), p, q, r)


def _moves(nodes: Nodes, side: int, e: Entries) -> Array:
    """The slope of each term in its own log p, or log q."""
    value, back = jax.vjp(nodes, e)
    (by,) = back(jnp.ones_like(value))
    mass, in_mass, in_log = (e.q, by.q, by.log_q) if side else (e.p, by.p, by.log_p)
    one, other = (e.log_q, e.log_p) if side else (e.log_p, e.log_q)
    in_log = in_log + jnp.where(other == -jnp.inf, 0, -by.r if side else by.r)
    return mass * in_mass + jnp.where(one == -jnp.inf, 0, in_log)


def _top(nodes: Nodes, side: int, axis_name: AxisName, both: _Both, a: Array, b: Array) -> _Top:
    start = sought(axis_name, both.origins[side], *((b, a) if side else (a, b)))
    top = (both.pair.a, both.pair.b)[side].top
    other = jnp.where(start.a == top, start.b, -jnp.inf)  # else the other has no such class
    z = (other, top) if side else (top, other)
    e = _entries(both.pair, *z)
    mass = e.q if side else e.p
    some = mass > 0
    constant = jnp.where(some, _moves(nodes, side, e) / jnp.where(some, mass, 1), 0)
    return _Top(*z, constant)


def decomposable(nodes: Nodes) -> Callable[..., Array]:
    """`fn(axis_name, a, b)`, the sum of `nodes(entries)`, which closes over no tracer."""

    def value(axis_name: AxisName, live: tuple[int, ...], a: Array, b: Array):
        pair, origins = pair_and_origins(axis_name, a, b, live)
        return total(nodes(_entries(pair, a, b)), axis_name)[..., 0], _Both(pair, origins)

    def apart(side: int, pair: Pair, top: _Top, a: Array, b: Array) -> tuple[Array, Array]:
        """The mass, and y."""
        e = _entries(pair, a, b)
        mass = e.q if side else e.p
        y = _moves(nodes, side, e) - mass * top.constant
        return mass, jnp.where((a == top.a) & (b == top.b), 0, y)

    def prepare(
        axis_name: AxisName, live: tuple[int, ...], both: _Both, a: Array, b: Array
    ) -> list[_Centre]:
        both = lax.optimization_barrier(both)
        tops = [_top(nodes, side, axis_name, both, a, b) for side in live]

        def terms(statistics, a, b):
            pair, tops = statistics
            ys = [apart(i, pair, top, a, b)[1] for i, top in zip(live, tops, strict=True)]
            return ys[0], ys[-1]

        means = two_totals(terms, axis_name, (both.pair, tops), a, b)
        return [_Centre(both.pair, top, m) for top, m in zip(tops, means, strict=False)]

    def slope(side: int) -> Slope:
        def definition(axis_name, a, b):
            fixed = lax.stop_gradient((a, b))
            pair, origins = pair_and_origins(axis_name, *fixed, (side,))
            top = _top(nodes, side, axis_name, _Both(pair, origins), *fixed)
            (log_p, p), (log_q, q) = (
                (log_softmax(axis_name, z), softmax(axis_name, z)) for z in (a, b)
            )
            e = Entries(log_p, log_q, p, q, log_ratio(axis_name, a, b))
            mass, x = (p, q)[side], _moves(nodes, side, e)
            # Here the constant moves with the class.
            here = (a == top.a) & (b == top.b)
            ties = total(here.astype(x.dtype), axis_name)
            at_top, moved = (total(jnp.where(here, z, 0), axis_name) for z in (mass, x))
            constant = jnp.where(at_top > 0, moved / jnp.where(at_top > 0, at_top, 1), 0)
            y = jnp.where(here & (ties == 1), 0, x - mass * constant)
            return y - mass * total(y, axis_name)

        @from_statistics(definition)
        def from_centre(axis_name: AxisName, centre: _Centre, a: Array, b: Array) -> Array:
            mass, y = apart(side, centre.pair, centre.top, a, b)
            return y - mass * centre.mean

        return from_centre

    return with_slopes(value, (slope(0), slope(1)), prepare)
