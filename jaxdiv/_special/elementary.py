r"""Elementary functions whose derivative rules in JAX lose the tail."""

from math import log

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Number

from .base import arrays, finite, log1p, over


@jax.custom_jvp
def _expm1(x):
    return jnp.expm1(x)


@_expm1.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    # JAX's rule is expm1(x) + 1, which has no digits left at x < -17.
    return _expm1(x), finite(jnp.exp(x)) * dx


@jax.custom_jvp
def _bell(x):
    r"""$\sigma(x)\sigma(-x)$."""
    return lax.logistic(x) * lax.logistic(-x)


@_bell.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _bell(x), -tanh(x / 2) * _bell(x) * dx


@jax.custom_jvp
def _sigmoid(x):
    return lax.logistic(x)


@_sigmoid.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _sigmoid(x), _bell(x) * dx


@jax.custom_jvp
def _softplus(x):
    return jnp.logaddexp(x, jnp.zeros_like(x))


@_softplus.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _softplus(x), _sigmoid(x) * dx


@jax.custom_jvp
def _tanh(x):
    return jnp.tanh(x)


@_tanh.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _tanh(x), 4 * _bell(2 * x) * dx


@jax.custom_jvp
def _log1mexp(x):
    near = x < log(2)
    # Double where: neither branch sees an argument at which it would be NaN or inf.
    small = jnp.log(-jnp.expm1(-jnp.where(near, x, 1)))
    return jnp.where(near, small, log1p(-jnp.exp(-jnp.where(near, 1, x))))


@_log1mexp.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _log1mexp(x), over(jnp.ones_like(x), _expm1(x)) * dx


def expm1(x: Number) -> Float[Array, "..."]:
    r"""$e^x - 1$, with derivative $e^x$ right for every $x$.

    >>> print(f"{jax.grad(expm1)(-20.):.3e}")
    2.061e-09
    """
    return _expm1(*arrays(x))


def sigmoid(x: Number) -> Float[Array, "..."]:
    r"""$\sigma(x) = 1/(1 + e^{-x})$, with derivative $\sigma(x)\sigma(-x)$ right in both tails.

    >>> print(f"{jax.grad(sigmoid)(20.):.3e}")
    2.061e-09
    """
    return _sigmoid(*arrays(x))


def softplus(x: Number) -> Float[Array, "..."]:
    r"""$\log(1 + e^x)$, with first and second derivatives right in both tails.

    >>> print(f"{jax.grad(jax.grad(softplus))(20.):.3e}")
    2.061e-09
    """
    return _softplus(*arrays(x))


def tanh(x: Number) -> Float[Array, "..."]:
    r"""$\tanh x$, with derivative $\operatorname{sech}^2 x$ right in both tails.

    >>> print(f"{jax.grad(tanh)(10.):.3e}")
    8.245e-09
    """
    return _tanh(*arrays(x))


def log1mexp(x: Number) -> Float[Array, "..."]:
    r"""$\log(1 - e^{-x})$ for $x \ge 0$; -inf at 0.

    >>> print(f"{log1mexp(20.):.3e}")
    -2.061e-09
    """
    return _log1mexp(*arrays(x))
