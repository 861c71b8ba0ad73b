"""KL and cross-entropy of two rows of logits."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from .pairs import Pair, difference, kl_and_pair, pair_and_origins
from .reduction import AxisName, total, two_totals
from .rows import Origin, Row, centred_ratio, centred_score, ratio_from, row, score_from, sought
from .rules import from_statistics, with_slopes
from .softmax import softmax, softmax_tangent

# The slope in b.


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _difference(axis_name, a, b):
    """$q - p$; 0 if no outcome is left in `a`."""
    return difference_slope(axis_name, pair_and_origins(axis_name, a, b)[0], a, b)


@partial(_difference.defjvp, symbolic_zeros=True)
def _(axis_name, primals, tangents):
    (a, b), (da, db) = primals, tangents
    change = jnp.zeros_like(a)
    if not isinstance(db, SymbolicZero):
        some = ~row(a, axis_name).empty
        change = change + jnp.where(some, softmax_tangent(axis_name, b, db), 0)
    if not isinstance(da, SymbolicZero):
        change = change - softmax_tangent(axis_name, a, da)
    return _difference(axis_name, a, b), change


@from_statistics(_difference)
def difference_slope(axis_name: AxisName, pair: Pair, a: Array, b: Array) -> Array:
    return jnp.where(pair.a.empty, 0, difference(*pair.entries(a, b)))


# The slope in a.


class Both(NamedTuple):
    pair: Pair
    origin: Origin


class Centre(NamedTuple):
    """Where e is 0, the most probable outcome of those shared, and the mean of e."""

    a: Row
    origin: Origin
    mean: Float[Array, "*batch 1"]


def _slope_in_p(e_of, e_from):
    r"""$p_i (e_i - \bar e)$, and what it needs of each row.

    Where p > 0 = q the value is inf: these outcomes are left out, and the mean is over the others.
    """

    def weights(a: Row, z: Array, b: Array) -> Array:
        return jnp.where(b == -jnp.inf, 0, a.probability(z))

    def definition(axis_name, a, b):
        p, e = jnp.where(b == -jnp.inf, 0, softmax(axis_name, a)), e_of(axis_name, a, b)
        mass = total(p, axis_name)
        return p * (e - total(p * e, axis_name) / jnp.where(mass == 0, 1, mass))

    def centre(axis_name: AxisName, both: Both, a: Array, b: Array) -> Centre:
        # Not the shift, which on a CPU takes another round.
        row, start = lax.optimization_barrier((both.pair.a, both.origin))
        start = sought(axis_name, start, a, b)

        def terms(statistics, a, b):
            row, start = statistics
            p = weights(row, a, b)
            return p * e_from(start, a, b), p

        moment, mass = two_totals(terms, axis_name, (row, start), a, b)
        return Centre(row, start, moment / jnp.where(mass == 0, 1, mass))

    def prepare(axis_name, live, both, a, b):
        return [both.pair if i else centre(axis_name, both, a, b) for i in live]

    @from_statistics(definition)
    def slope(axis_name: AxisName, centre: Centre, a: Array, b: Array) -> Array:
        return weights(centre.a, a, b) * (e_from(centre.origin, a, b) - centre.mean)

    return slope, prepare


ratio_slope, prepare_ratio = _slope_in_p(centred_ratio, ratio_from)
_score_slope, _score_prepare = _slope_in_p(centred_score, score_from)


def _kl(axis_name: AxisName, live: tuple[int, ...], a: Array, b: Array) -> tuple[Array, Both]:
    value, pair, (start, _) = kl_and_pair(axis_name, a, b, (0,) * (0 in live))
    return jnp.where(pair.a.empty, 0, value)[..., 0], Both(pair, start)


def _cross_entropy(
    axis_name: AxisName, live: tuple[int, ...], a: Array, b: Array
) -> tuple[Array, Both]:
    pair, (start, _) = pair_and_origins(axis_name, a, b, (0,) * (0 in live))
    p, other = pair.a.probability(a), row(b, axis_name)
    mean = total(p * jnp.where(p == 0, 0, -other.gap(b)[0]), axis_name)
    return jnp.where(pair.a.empty, 0, other.log_sum + mean)[..., 0], Both(pair, start)


kl = with_slopes(_kl, (ratio_slope, difference_slope), prepare_ratio)
cross_entropy = with_slopes(_cross_entropy, (_score_slope, difference_slope), _score_prepare)
