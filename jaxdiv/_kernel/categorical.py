r"""Softmax, log-ratios, KL, entropy and cross-entropy from raw logits.

The class axis is the last. An entry of -inf is an outcome of probability 0, and the two arguments
may hold them at different places; a row of nothing else counts as 0 with gradient 0. float16 and
bfloat16 logits are widened to float32, the dtype of the result. With `axis_name` the class axis is
split over that mesh axis (inside `shard_map`). Values and derivatives are never NaN for legal
inputs, and each derivative is taken relative to the most probable outcome, without which it has no
digits at a point mass.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

from .._special.base import log1p
from .._special.generators import expm1_series, psi_series
from .rows import (
    AxisName,
    centred,
    centred_ratio,
    centred_score,
    class_index,
    gap_below_top,
    largest,
    row,
    total,
    widen,
)

# Softmax and log softmax.


def _softmax_tangent(axis_name, z, dz):
    p, e = _softmax(axis_name, z), centred(dz, z, axis_name)
    return p * (e - total(p * e, axis_name))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _softmax(axis_name, z):
    return row(z, axis_name).probability


@_softmax.defjvp
def _(axis_name, primals, tangents):
    return _softmax(axis_name, *primals), _softmax_tangent(axis_name, *primals, *tangents)


def _log_tangent(axis_name, z, dz):
    """The tangent of log softmax; 0 where masked."""
    e = centred(dz, z, axis_name)
    mean = total(_softmax(axis_name, z) * e, axis_name)
    return jnp.where(z == -jnp.inf, 0, e - mean)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_softmax(axis_name, z):
    a = row(z, axis_name)
    return a.gap - a.log_sum


@_log_softmax.defjvp
def _(axis_name, primals, tangents):
    return _log_softmax(axis_name, *primals), _log_tangent(axis_name, *primals, *tangents)


# The log-ratio.


def _ratio(pa, pb):
    r"""$\log p/q$, $p$ and $q$ from the statistics of two rows."""
    # An error-free difference of the offsets, whichever of the two carries one.
    both_masked = (pa.gap == -jnp.inf) & (pb.gap == -jnp.inf)
    d = jnp.where(both_masked, 0, (pa.gap - pb.gap) + (pa.low - pb.low))
    # The change of the normaliser, relative: of the difference of two logarithms no digits would
    # be left near equality.
    near = jnp.abs(d) < 0.5
    close = pb.weight * expm1_series(jnp.where(near, d, 0))
    change = total(jnp.where(near, close, pa.weight - pb.weight), pa.axis_name)
    sum_a, sum_b = pa.sum, pb.sum
    shift = log1p(jnp.maximum(change, 0) / sum_b) - log1p(jnp.maximum(-change, 0) / sum_a)
    return jnp.where(both_masked, 0, d - shift), pa.weight / sum_a, pb.weight / sum_b


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_ratio(axis_name, a, b):
    return _ratio(row(a, axis_name), row(b, axis_name))[0]


@partial(_log_ratio.defjvp, symbolic_zeros=True)
def _(axis_name, primals, tangents):
    (a, b), (da, db) = primals, tangents
    both = (a != -jnp.inf) & (b != -jnp.inf)
    change = jnp.zeros_like(a)
    if not isinstance(da, SymbolicZero):
        change = change + _log_tangent(axis_name, a, da)
    if not isinstance(db, SymbolicZero):
        change = change - _log_tangent(axis_name, b, db)
    return _log_ratio(axis_name, a, b), jnp.where(both, change, 0)


# KL and cross-entropy of two rows of logits.


def _some(z, axis_name):
    """Some outcome is left."""
    return largest(z, axis_name) != -jnp.inf


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _difference(axis_name, a, b):
    """$q - p$; 0 if no outcome is left in `a`."""
    r, p, q = _ratio(row(a, axis_name), row(b, axis_name))
    near = jnp.abs(r) < 0.5
    far = jnp.where(_some(a, axis_name), q - p, 0)
    return jnp.where(near, p * expm1_series(jnp.where(near, -r, 0)), far)


@partial(_difference.defjvp, symbolic_zeros=True)
def _(axis_name, primals, tangents):
    (a, b), (da, db) = primals, tangents
    change = jnp.zeros_like(a)
    if not isinstance(db, SymbolicZero):
        change = change + jnp.where(_some(a, axis_name), _softmax_tangent(axis_name, b, db), 0)
    if not isinstance(da, SymbolicZero):
        change = change - _softmax_tangent(axis_name, a, da)
    return _difference(axis_name, a, b), change


def _slope_in_p(axis_name, a, b, e):
    r"""$p_i (e_i - \bar e)$, where $e$ is 0 at the most probable outcome.

    Where p > 0 = q the value is inf: these outcomes are left out, and the mean is over the others.
    """
    p = jnp.where(b == -jnp.inf, 0, _softmax(axis_name, a))
    mass = total(p, axis_name)
    return p * (e - total(p * e, axis_name) / jnp.where(mass == 0, 1, mass))


def _pair_tangent(axis_name, primals, tangents, score):
    (a, b), (da, db) = primals, tangents
    change = jnp.zeros(a.shape[:-1], a.dtype)
    if not isinstance(da, SymbolicZero):
        slope = _slope_in_p(axis_name, a, b, score(axis_name, a, b))
        change = change + total(slope * da, axis_name)[..., 0]
    if not isinstance(db, SymbolicZero):
        change = change + total(_difference(axis_name, a, b) * db, axis_name)[..., 0]
    return change


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _kl(axis_name, a, b):
    r, p, q = _ratio(row(a, axis_name), row(b, axis_name))
    # p psi(r), which is p r - p + q: beyond |r| = 1 nothing cancels.
    near = jnp.abs(r) < 1
    far = (q - p) + p * jnp.where(p == 0, 0, r)
    terms = jnp.where(near, p * psi_series(jnp.where(near, r, 0)), far)
    return jnp.where(_some(a, axis_name), total(terms, axis_name), 0)[..., 0]


@partial(_kl.defjvp, symbolic_zeros=True)
def _(axis_name, primals, tangents):
    return _kl(axis_name, *primals), _pair_tangent(axis_name, primals, tangents, centred_ratio)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _cross_entropy(axis_name, a, b):
    p, other = _softmax(axis_name, a), row(b, axis_name)
    value = other.log_sum + total(-p * jnp.where(p == 0, 0, other.gap), axis_name)
    return jnp.where(_some(a, axis_name), value, 0)[..., 0]


def _minus_score(axis_name, a, b):
    return -centred_score(axis_name, a, b)


@partial(_cross_entropy.defjvp, symbolic_zeros=True)
def _(axis_name, primals, tangents):
    tangent = _pair_tangent(axis_name, primals, tangents, _minus_score)
    return _cross_entropy(axis_name, *primals), tangent


# Entropy.


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _entropy(axis_name, z):
    a = row(z, axis_name)
    p = a.probability
    return (a.log_sum + total(-p * jnp.where(p == 0, 0, a.gap), axis_name))[..., 0]


@_entropy.defjvp
def _(axis_name, primals, tangents):
    (z,), (dz,) = primals, tangents
    p, e = _softmax(axis_name, z), gap_below_top(axis_name, z)
    slope = -p * (e - total(p * e, axis_name))
    return _entropy(axis_name, z), total(slope * dz, axis_name)[..., 0]


# Cross-entropy of integer labels.


def _label(axis_name, y, z):
    index = y.astype(jnp.int32)
    index = jnp.where(index.astype(y.dtype) == y, index, -1)  # an int64 may have wrapped
    return class_index(z.shape, axis_name) == index[..., None]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _excess(axis_name, y, z):
    """p, less 1 at the label: there, minus the sum of the others."""
    one, p = _label(axis_name, y, z), _softmax(axis_name, z)
    return jnp.where(one, -total(jnp.where(one, 0, p), axis_name), p)


@_excess.defjvp
def _(axis_name, primals, tangents):
    (_, z), (_, dz) = primals, tangents
    return _excess(axis_name, *primals), _softmax_tangent(axis_name, z, dz)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _label_loss(axis_name, y, z):
    a, one = row(z, axis_name), _label(axis_name, y, z)
    known = total(one.astype(z.dtype), axis_name) > 0
    loss = a.log_sum - total(jnp.where(one, a.gap, 0), axis_name)
    return jnp.where(known, loss, jnp.nan)[..., 0]


@_label_loss.defjvp
def _(axis_name, primals, tangents):
    (y, z), (_, dz) = primals, tangents
    return _label_loss(axis_name, y, z), total(_excess(axis_name, y, z) * dz, axis_name)[..., 0]


def softmax(z: Float[Array, "*batch v"], *, axis_name: AxisName = None) -> Float[Array, "*batch v"]:
    r"""$p_i = e^{z_i} / \sum_j e^{z_j}$; an empty row gives zeros.

    The tangent is $p_i (e_i - \sum_j p_j e_j)$, with $e$ the tangent less that of the top class.

    >>> z = jnp.array([0., -20.], jnp.float32)
    >>> print(f"{jax.grad(lambda z: softmax(z)[0])(z)[0]:.3e}")
    2.061e-09
    """
    return _softmax(axis_name, *widen(z))


def log_softmax(
    z: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch v"]:
    r"""$\log p_i = z_i - \log \sum_j e^{z_j}$, with the digits of $-\log(1 + s)$ at the top class.

    >>> print(f"{log_softmax(jnp.array([0., -20.], jnp.float32))[0]:.3e}")
    -2.061e-09
    """
    return _log_softmax(axis_name, *widen(z))


def log_ratio(
    a: Float[Array, "*batch v"], b: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch v"]:
    r"""$r_i = \log p_i - \log q_i$ for $p$ = softmax(a), $q$ = softmax(b), without cancellation.

    -inf where only `a` is masked, inf where only `b` is, 0 where both are (with tangent 0 at all
    three).

    >>> a = jnp.array([1000., 1001.], jnp.float32)
    >>> print(log_ratio(a, a - 1000))
    [0. 0.]
    """
    return _log_ratio(axis_name, *widen(a, b))


def kl_logits(
    a: Float[Array, "*batch v"], b: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$KL(p‖q) = \sum p_i \psi(r_i) \ge 0$ for $p$ = softmax(a), $q$ = softmax(b), in nats.

    0 exactly for equal logits; inf exactly where some $p_i > 0 = q_i$. $\partial_a = p(r - KL)$ and
    $\partial_b = q - p$. Where the value is inf, the outcomes responsible contribute 0 to
    $\partial_a$, and the rest is the gradient on them, centred. If every class of `a` is masked the
    value and its gradient are 0, whatever `b`.

    >>> a = jnp.array([0., 1e-5], jnp.float32)
    >>> print(f"{kl_logits(a, jnp.zeros(2, jnp.float32)):.4e}")
    1.2500e-11
    """
    return _kl(axis_name, *widen(a, b))


def cross_entropy_logits(
    a: Float[Array, "*batch v"], b: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$H(p, q) = -\sum p_i \log q_i \ge 0$ for $p$ = softmax(a), $q$ = softmax(b), in nats.

    Infinities, gradients and empty rows as in `kl_logits`.

    >>> a = jnp.array([0., -20.], jnp.float32)
    >>> print(f"{cross_entropy_logits(a, a):.3e}")
    4.328e-08
    """
    return _cross_entropy(axis_name, *widen(a, b))


def entropy_logits(
    z: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$H(p) = \log(1 + s) + \sum p_i (\max z - z_i) \ge 0$ for $p$ = softmax(z), in nats.

    $1 + s$ is the normaliser relative to the top class. $\partial_z = -p(\log p + H)$.

    >>> print(f"{entropy_logits(jnp.array([0., -20.], jnp.float32)):.3e}")
    4.328e-08
    """
    return _entropy(axis_name, *widen(z))


def cross_entropy_labels(
    y: Int[Array, "*batch"], z: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$-\log q_y = (\max z - z_y) + \log(1 + s) \ge 0$ for $q$ = softmax(z), in nats.

    inf where the label is masked; NaN where it is not one of the classes.

    >>> z = jnp.array([20., 0.], jnp.float32)
    >>> print(f"{cross_entropy_labels(jnp.array(0), z):.3e}")
    2.061e-09
    """
    (z,) = widen(z)
    return _label_loss(axis_name, jnp.broadcast_to(y, z.shape[:-1]), z)
