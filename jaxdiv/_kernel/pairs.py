r"""The statistics of two rows of logits together: what KL and its slopes are made of.

With $r = \log p/q$, $x = r/2$ and $t = \tanh x$, $p - q = (p + q)\,t$ and
$p\,(e^{-r} - 1 + r) = (p + q)\,(t x + (x - t))$: neither cancels.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._special.base import horner, log1p, terms
from .._special.generators import phi
from .reduction import (
    AxisName,
    blocks,
    join_shards,
    on,
    reduce_states,
    total,
    two_sums_on_cpu,
    two_totals,
)
from .rows import (
    NOTHING,
    Origin,
    Row,
    below,
    coarse_states_of_blocks,
    coarse_states_on_cpu,
    finished,
    join,
    join_coarsely,
    join_origins,
    single,
    single_origin,
)


def _tanh_coefficients(count: int) -> list[float]:
    """Of $x^{2k+1}$, from $t' = 1 - t^2$."""
    c = [1.0]
    for k in range(1, count):
        c.append(-sum(c[i] * c[k - 1 - i] for i in range(k)) / (2 * k + 1))
    return c


_TANH = _tanh_coefficients(18)


def tanh_parts(x: Array) -> tuple[Array, Array]:
    r"""$\tanh x$ and $x - \tanh x$, relatively accurate, for $|x| \le 1/2$."""
    square = x * x
    rest = x * square * horner(square, [-c for c in _TANH[1 : terms(x, 9, 18)]])
    return x - rest, rest


def difference(r: Array, p: Array, q: Array) -> Array:
    """$q - p$."""
    near = jnp.abs(r) < 1
    t, _ = tanh_parts(0.5 * r)  # not used where r is far
    return jnp.where(near, -(p + q) * t, q - p)


def kl_terms(r: Array, p: Array, q: Array) -> tuple[Array, Array]:
    """$p r - p + q$ and $q - p$."""
    near = jnp.abs(r) < 1
    x = 0.5 * r
    t, rest = tanh_parts(x)  # not used where r is far
    less = jnp.where(near, -(p + q) * t, q - p)
    far = (q - p) + p * jnp.where(p == 0, 0, r)
    return jnp.where(near, (p + q) * (t * x + rest), far), less


class Pair(NamedTuple):
    r"""Two rows, and $\log \sum e^{a - \max a} - \log \sum e^{b - \max b}$: their `shift`.

    Nothing in it is differentiated.
    """

    a: Row
    b: Row
    shift: Float[Array, "*batch 1"]

    def weights(self, a: Array, b: Array) -> tuple[Array, Array, Array]:
        r"""$\log p/q$ (0 where both are masked), and $p$, $q$ before division by the sums."""
        gap_a, low_a, weight_a = self.a.gap(a)
        gap_b, low_b, weight_b = self.b.gap(b)
        masked = (gap_a == -jnp.inf) & (gap_b == -jnp.inf)
        # An error-free difference of the offsets, whichever of the two carries one.
        d = jnp.where(masked, 0, (gap_a - gap_b) + (low_a - low_b))
        return jnp.where(masked, 0, d - self.shift), weight_a, weight_b

    def entries(self, a: Array, b: Array) -> tuple[Array, Array, Array]:
        r"""$\log p/q$, $p$ and $q$."""
        r, weight_a, weight_b = self.weights(a, b)
        return r, weight_a / self.a.sum, weight_b / self.b.sum


KLAndPair = tuple[Array, Pair, tuple[Origin, Origin]]


def _pair(a: Row, b: Row, change: Array) -> Pair:
    """`change` is the sum of `a` less that of `b`."""
    shift = log1p(jnp.maximum(change, 0) / b.sum) - log1p(jnp.maximum(-change, 0) / a.sum)
    return Pair(a, b, shift)


def _join_rows(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    return *join(u[:2], v[:2]), *join(u[2:4], v[2:4])


def _join_rows_coarsely(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    return *join_coarsely(u[:2], v[:2]), *join_coarsely(u[2:4], v[2:4])


def join_pairs(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    """And the difference of the two sums, which has digits where they are nearly equal; and the
    origins.
    """
    joined = _join_rows(u, v)
    pairs = (join_origins(u[i : i + 2], v[i : i + 2]) for i in range(5, len(u), 2))
    origins = [x for pair in pairs for x in pair]
    change = jnp.zeros_like(u[4])
    for side in (u, v):
        drop_a, low_a = below(side[0], joined[0])
        drop_b, low_b = below(side[2], joined[2])
        in_a, in_b = jnp.exp(drop_a) * (1 + low_a), jnp.exp(drop_b) * (1 + low_b)
        gone = (drop_a == -jnp.inf) & (drop_b == -jnp.inf)
        r = jnp.where(gone, 0, (drop_a - drop_b) + (low_a - low_b))
        change = change + (side[4] * in_b - (1 + side[1]) * difference(r, in_a, in_b))
    return *joined, change, *origins


_ROWS = (*NOTHING, *NOTHING)
JOINED = (*_ROWS, 0.0)


def single_pair(a: Array, b: Array, sides: tuple[int, ...]) -> tuple[Array, ...]:
    """The state of one entry, with the origins of these sides."""
    one, two = single(a), single(b)
    origins = [x for i in sides for x in single_origin(*((a, b), (b, a))[i])]
    return *one, *two, one[1] - two[1], *origins


def pair_of(states: tuple[Array, ...]) -> Pair:
    """From the joined state, without the origins."""
    pa, pb, change = finished(*states[:2]), finished(*states[2:4]), states[4]
    close = 2 * jnp.abs(change) < jnp.minimum(pa.sum, pb.sum)
    return _pair(pa, pb, jnp.where(close, change, pa.sum - pb.sum))


def _pair_on_cpu(
    axis_name: AxisName, sides: tuple[int, ...], a: Array, b: Array
) -> tuple[Pair, tuple[Origin, Origin]]:
    """From the states of blocks, in one round; the origins are not sought: that is another pass."""
    a, b = blocks(a), blocks(b)
    one, two = coarse_states_of_blocks(a), coarse_states_of_blocks(b)
    pa, pb = (finished(*(x[..., None] for x in states)) for states in (one, two))
    rough = _pair(pa, pb, pa.sum - pb.sum)
    scale = jnp.exp(rough.shift)

    def terms(statistics, a, b):
        rough, scale = statistics
        r, p, q = rough.weights(a, b)
        x = difference(r, p, scale * q)
        return x, jnp.zeros_like(x)

    excess, _ = two_sums_on_cpu(terms, (rough, scale), a, b)
    # The sum of a less that of b, from that of b less that of a scaled to be nearly equal.
    change = pb.sum[..., 0] * jnp.expm1(rough.shift[..., 0]) - excess
    some = ~(pa.empty | pb.empty)[..., 0]
    states = *one, *two, jnp.where(some, change, one[1] - two[1])
    states = reduce_states(join_pairs, states, JOINED)
    pair = pair_of(join_shards(join_pairs, states, JOINED, axis_name))
    return pair, (_nowhere(pair.shift), _nowhere(pair.shift))


def _pair_on_accelerator(
    axis_name: AxisName, sides: tuple[int, ...], a: Array, b: Array
) -> tuple[Pair, tuple[Origin, Origin]]:
    nothing = (*JOINED, *(2 * len(sides) * (-jnp.inf,)))
    states = reduce_states(join_pairs, single_pair(a, b, sides), nothing)
    states = join_shards(join_pairs, states, nothing, axis_name)
    found = {i: Origin(*states[5 + 2 * k : 7 + 2 * k]) for k, i in enumerate(sides)}
    nowhere = _nowhere(states[4])
    return pair_of(states[:5]), (found.get(0, nowhere), found.get(1, nowhere))


def _nowhere(like: Array) -> Origin:
    """An origin that was not sought."""
    return Origin(jnp.full_like(like, -jnp.inf), jnp.full_like(like, -jnp.inf))


def _kl_on_accelerator(
    axis_name: AxisName, sides: tuple[int, ...], a: Array, b: Array
) -> KLAndPair:
    pair, origins = _pair_on_accelerator(axis_name, sides, a, b)
    return total(kl_terms(*pair.entries(a, b))[0], axis_name), pair, origins


def _kl_on_cpu(axis_name: AxisName, sides: tuple[int, ...], a: Array, b: Array) -> KLAndPair:
    return _kl_of_rows(axis_name, (*coarse_states_on_cpu(a), *coarse_states_on_cpu(b)), a, b)


def _kl_on_gpu(axis_name: AxisName, sides: tuple[int, ...], a: Array, b: Array) -> KLAndPair:
    """As on a CPU: to join takes a GPU longer than to read once more, which slopes in `b` need."""
    if sides:
        return _kl_on_accelerator(axis_name, sides, a, b)
    states = reduce_states(_join_rows_coarsely, (*single(a), *single(b)), _ROWS)
    return _kl_of_rows(axis_name, states, a, b)


def _kl_of_rows(axis_name: AxisName, states: tuple[Array, ...], a: Array, b: Array) -> KLAndPair:
    """The normalisers are corrected by the sums that KL is made of: fewer exponentials."""
    states = join_shards(_join_rows, states, _ROWS, axis_name)
    pa, pb = finished(*states[:2]), finished(*states[2:])
    rough = _pair(pa, pb, pa.sum - pb.sum)

    def terms(statistics, a, b):
        rough, scale = statistics
        gap_a, low_a, p = rough.a.gap(a)
        gap_b, low_b, q = rough.b.gap(b)
        # As in `weights`, but NaN where both are masked: p is 0 there, and r not looked at.
        r = (gap_a - gap_b) + (low_a - low_b) - rough.shift
        return kl_terms(r, p, scale * q)

    sums = two_totals(terms, axis_name, (rough, jnp.exp(rough.shift)), a, b)
    value, excess = (x / pa.sum for x in sums)
    # With r too small by log1p(e), q sums to 1 + e, and the terms to KL + e - log1p(e).
    excess = jnp.where(jnp.abs(excess) < 0.5, excess, 0)
    pair = Pair(pa, pb, rough.shift - log1p(excess))
    origins = _nowhere(value), _nowhere(value)  # to look for them is another pass
    return jnp.maximum(value - phi(excess), 0), pair, origins


def pair_and_origins(
    axis_name: AxisName, a: Array, b: Array, sides: tuple[int, ...] = ()
) -> tuple[Pair, tuple[Origin, Origin]]:
    """What is known of both rows after one round; `sides` as for `kl_and_pair`."""
    cpu, accelerator = (partial(f, axis_name, sides) for f in (_pair_on_cpu, _pair_on_accelerator))
    return on(cpu, accelerator, a, b)


def kl_and_pair(axis_name: AxisName, a: Array, b: Array, sides: tuple[int, ...] = ()) -> KLAndPair:
    """KL (of no value where `a` is empty), and what slopes in `a` and `b` are made of.

    `sides` says whether the origins of `a` (0) and of `b` (1) are wanted; on a CPU they are not
    sought.
    """
    kinds = (_kl_on_cpu, _kl_on_accelerator, _kl_on_gpu)
    cpu, accelerator, gpu = (partial(f, axis_name, sides) for f in kinds)
    return on(cpu, accelerator, a, b, gpu=gpu)
