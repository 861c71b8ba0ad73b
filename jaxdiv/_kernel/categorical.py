r"""Softmax, log-ratios, KL, entropy and cross-entropy from raw logits.

The class axis is the last. An entry of -inf is an outcome of probability 0, and the two arguments
may hold them at different places; a row of nothing else counts as 0 with gradient 0. float16 and
bfloat16 logits are widened to float32, the dtype of the result. With `axis_name` the class axis is
split over that mesh axis (inside `shard_map`). Values and derivatives are never NaN for legal
inputs, and each derivative is taken relative to the most probable outcome, without which it has no
digits at a point mass.
"""

from collections.abc import Callable

import jax  # noqa: F401
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from . import affinity, decomposable, divergence, entropy, jensen_shannon, normalizer, one_pass
from . import softmax as entrywise
from .decomposable import Entries
from .reduction import AxisName, widen


def _wide(*zs: Array) -> tuple[Array, ...]:
    return tuple(jnp.broadcast_arrays(*widen(*map(jnp.asarray, zs))))


def softmax(z: Float[Array, "*batch v"], *, axis_name: AxisName = None) -> Float[Array, "*batch v"]:
    r"""$p_i = e^{z_i} / \sum_j e^{z_j}$; an empty row gives zeros.

    The tangent is $p_i (e_i - \sum_j p_j e_j)$, with $e$ the tangent less that of the top class.

    >>> z = jnp.array([0., -20.], jnp.float32)
    >>> print(f"{jax.grad(lambda z: softmax(z)[0])(z)[0]:.3e}")
    2.061e-09
    """
    return entrywise.softmax(axis_name, *_wide(z))


def log_softmax(
    z: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch v"]:
    r"""$\log p_i = z_i - \log \sum_j e^{z_j}$, with the digits of $-\log(1 + s)$ at the top class.

    >>> print(f"{log_softmax(jnp.array([0., -20.], jnp.float32))[0]:.3e}")
    -2.061e-09
    """
    return entrywise.log_softmax(axis_name, *_wide(z))


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
    return entrywise.log_ratio(axis_name, *_wide(a, b))


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
    return divergence.kl(axis_name, *jnp.broadcast_arrays(a, b))


def kl_logits_one_pass(
    a: Float[Array, "*batch v"], b: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""The same from one read of memory: few digits below 1e-5, and the gradient of `kl_logits`.

    >>> a = jnp.array([0., 1.], jnp.float32)
    >>> print(f"{kl_logits_one_pass(a, jnp.zeros(2, jnp.float32)):.4f}")
    0.1109
    """
    return one_pass.kl(axis_name, *jnp.broadcast_arrays(a, b))


def cross_entropy_logits(
    a: Float[Array, "*batch v"], b: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$H(p, q) = -\sum p_i \log q_i \ge 0$ for $p$ = softmax(a), $q$ = softmax(b), in nats.

    Infinities, gradients and empty rows as in `kl_logits`.

    >>> a = jnp.array([0., -20.], jnp.float32)
    >>> print(f"{cross_entropy_logits(a, a):.3e}")
    4.328e-08
    """
    return divergence.cross_entropy(axis_name, *jnp.broadcast_arrays(a, b))


def jensen_shannon_logits(
    a: Float[Array, "*batch v"], b: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$\tfrac12 KL(p‖m) + \tfrac12 KL(q‖m) \le \log 2$, $m = \tfrac12(p + q)$, in nats.

    $p$ = softmax(a), $q$ = softmax(b). 0 exactly for equal logits; a row that is masked entirely
    counts as masses of 0.

    >>> a = jnp.array([0., 1e-5], jnp.float32)
    >>> print(f"{jensen_shannon_logits(a, jnp.zeros(2, jnp.float32)):.4e}")
    3.1250e-12
    """
    return jensen_shannon.jensen_shannon(axis_name, *jnp.broadcast_arrays(a, b))


def log_affinity_logits(
    a: Float[Array, "*batch v"],
    b: Float[Array, "*batch v"],
    order: float,
    *,
    axis_name: AxisName = None,
) -> Float[Array, "*batch"]:
    r"""$\log \sum p^a q^{1-a}$, $a$ = `order`, for $p$ = softmax(a), $q$ = softmax(b), in nats.

    Of the outcomes that both have; -inf where there are none. Few digits where $p$ is near $q$.

    >>> a = jnp.array([0., 20.], jnp.float32)
    >>> print(f"{log_affinity_logits(a, -a, 0.5):.4f}")
    -9.3069
    """
    return affinity.log_affinity(order)(axis_name, *jnp.broadcast_arrays(a, b))


def decomposable_logits(
    nodes: Callable[[Entries], Float[Array, "*batch v"]],
    a: Float[Array, "*batch v"],
    b: Float[Array, "*batch v"],
    *,
    axis_name: AxisName = None,
) -> Float[Array, "*batch"]:
    r"""The sum over the classes of `nodes(entries)`, for $p$ = softmax(a), $q$ = softmax(b).

    `nodes` is entrywise, differentiable in each of the entries, and closes over no tracer.

    >>> a = jnp.array([0., 1e-3], jnp.float32)
    >>> affinity = decomposable_logits(lambda e: jnp.sqrt(e.p * e.q), a, jnp.zeros(2, jnp.float32))
    >>> print(f"{affinity:.4f}")
    1.0000
    """
    return decomposable.decomposable(nodes)(axis_name, *jnp.broadcast_arrays(a, b))


def entropy_logits(
    z: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$H(p) = \log(1 + s) + \sum p_i (\max z - z_i) \ge 0$ for $p$ = softmax(z), in nats.

    $1 + s$ is the normaliser relative to the top class. $\partial_z = -p(\log p + H)$.

    >>> print(f"{entropy_logits(jnp.array([0., -20.], jnp.float32)):.3e}")
    4.328e-08
    """
    return entropy.entropy(axis_name, jnp.asarray(z))


def log_normalizer(
    z: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$\log \sum_i e^{z_i}$, with slope softmax(z); 0 of an empty row.

    >>> print(f"{log_normalizer(jnp.array([0., -20.], jnp.float32)):.3e}")
    2.061e-09
    """
    return normalizer.log_normalizer(axis_name, jnp.asarray(z))


def cross_entropy_labels(
    y: Int[Array, "*batch"], z: Float[Array, "*batch v"], *, axis_name: AxisName = None
) -> Float[Array, "*batch"]:
    r"""$-\log q_y = (\max z - z_y) + \log(1 + s) \ge 0$ for $q$ = softmax(z), in nats.

    inf where the label is masked; NaN where it is not one of the classes.

    >>> z = jnp.array([20., 0.], jnp.float32)
    >>> print(f"{cross_entropy_labels(jnp.array(0), z):.3e}")
    2.061e-09
    """
    z = jnp.asarray(z)
    return entropy.label_loss(axis_name, jnp.broadcast_to(y, z.shape[:-1]), z)
