r"""Bounds on what has no closed form of a mixture, from closed forms between its components.

A distribution that is no mixture counts as one of a single component.
"""

import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from .._errors import NoClosedFormError
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._operand.base import AbstractDistribution
from .._operand.batch import map_batch_axis
from .._operand.mixture import Mixture
from .._special import bd0, expm1
from .._special.base import log1p
from .base import AbstractEstimator, Estimate
from .exact import exact

_POWERS = (0.05, 0.2, 0.5, 0.8)


class UpperBound(AbstractEstimator):
    r"""At least the entropy of a mixture, or the KL divergence between two.

    With weights $\pi_a$, $\omega_b$ and components $f_a$, $g_b$:

    - $H(P) \le \sum_a \pi_a [H(f_a) - \log \sum_c \pi_c e^{-\mathrm{KL}(f_a \| f_c)}]$
      (Kolchinsky & Tracey 2017, "Estimating mixture entropy with pairwise distances": upper bound);
    - $\mathrm{KL}(P \| Q) \le \mathrm{KL}(\phi \| \psi) + \sum_{ab} \phi_{ab} \mathrm{KL}(f_a \|
      g_b)$ for any $\phi$, $\psi$ with marginals $\pi$, $\omega$ (Hershey & Olsen 2007,
      "Approximating the Kullback Leibler divergence between Gaussian mixture models": variational
      upper bound), which are improved in turn, each step a bound and none above the one before it.
      The slope is that with the shares $\phi_{ab}/\pi_a$, $\psi_{ab}/\omega_b$ held fixed;
    - $\mathrm{KL}(P \| Q) \le \sum_a \pi_a [H(f_a) - \log \sum_b \omega_b
      e^{-\mathrm{KL}(f_a \| g_b)}] - H$ for the `LowerBound` $H$ of the entropy of P: where that is
      less, and known.

    Exact where there is one component, and the entropy where components coincide or are far apart.
    It needs KL between components in closed form, and the entropies' bound their entropies. What
    a bound is off by is not known: the `standard_error` is NaN.

    Args:
        num_steps: how often $\phi$ and $\psi$ are improved, from $\pi_a \omega_b$: that would be
            the bound of convexity, $\sum_{ab} \pi_a \omega_b \mathrm{KL}(f_a \| g_b)$.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.Mixture(jd.probs([0.5, 0.5]), jd.Normal(jnp.array([-9.0, 9.0]), 1.0))
        >>> bounds = [jd.entropy(p, estimator=e) for e in (jd.LowerBound(), jd.UpperBound())]
        >>> print(f"{bounds[0]:.4f} {bounds[1]:.4f}")
        2.1121 2.1121
    """

    num_steps: int = eqx.field(static=True, default=32)
    deterministic: ClassVar[bool] = True

    def __check_init__(self):
        if not isinstance(self.num_steps, int) or self.num_steps < 1:
            raise ValueError(f"num_steps must be a positive integer, got {self.num_steps!r}.")

    def estimate(self, functional, operands, key):
        p, *q = _as_mixtures(self, functional, operands)
        if not q:
            return _bound(_entropies(p) + _information(p, _between(KL(), p, p)), "upper")
        across = _between(KL(), p, q[0])
        value = _variational(p, q[0], across, self.num_steps)
        try:
            half = 0.5 * _between(Renyi(0.5), p, p)
        except NoClosedFormError:
            return _bound(value, "upper")
        other = _information(p, across, q[0]) - _information(p, half)
        return _bound(jnp.where(other < value, other, value), "upper")

    def refined(self):
        return self


class LowerBound(AbstractEstimator):
    r"""At most the entropy of a mixture, or the KL divergence between two.

    With weights $\pi_a$, $\omega_b$ and components $f_a$, $g_b$:

    - $H(P) \ge \sum_a \pi_a [H(f_a) - \log \sum_c \pi_c e^{-B(f_a, f_c)}]$ for the Bhattacharyya
      distance $B$ (Kolchinsky & Tracey 2017: lower bound, with $\alpha = 1/2$);
    - $\mathrm{KL}(P \| Q) \ge \sum_a \pi_a L_a - I$, or 0 where that is negative: $I$ bounds what
      the component tells of the outcome, $\sum_a \pi_a \mathrm{KL}(f_a \| P)$, from above as for
      the entropy, and $L_a$ bounds $\mathrm{KL}(f_a \| Q)$ from below. That is known where Q has
      one component. Else it is at least $R_{1-s}(f_a \| Q)$ (van Erven & Harremoes 2014, theorem
      3), and so $-\frac1s \log \sum_b \omega_b^s e^{-s R_{1-s}(f_a \| g_b)}$ as
      $(\sum x)^s \le \sum x^s$; of several $s$ the best is taken.

    Exact where there is one component, and the entropy where components coincide or are far apart;
    never so where Q has several. It needs KL and Renyi divergences between components in closed
    form, and the entropies' bound their entropies. What a bound is off by is not known: the
    `standard_error` is NaN.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.Mixture(jd.probs([0.5, 0.5]), jd.Normal(jnp.array([-2.0, 2.0]), 1.0))
        >>> q = jd.Normal(0.0, 2.0)
        >>> bounds = [jd.kl(p, q, estimator=e) for e in (jd.LowerBound(), jd.UpperBound())]
        >>> value = jd.kl(p, q, estimator=jd.Quadrature())
        >>> print(f"{bounds[0]:.4f} < {value:.4f} < {bounds[1]:.4f}")
        0.1253 < 0.1854 < 0.2519
    """

    deterministic: ClassVar[bool] = True

    def estimate(self, functional, operands, key):
        p, *q = _as_mixtures(self, functional, operands)
        if not q:
            half = 0.5 * _between(Renyi(0.5), p, p)
            return _bound(_entropies(p) + _information(p, half), "lower")
        within = _information(p, _between(KL(), p, p))
        apart = _average(p, _component_lower(p, q[0]))
        # Of p alone it is a KL divergence, and no difference.
        value = apart if _size(p) == 1 else apart - within
        return _bound(jnp.where(value < 0, 0.0, value), "lower")

    def refined(self):
        return self


class VariationalApproximation(AbstractEstimator):
    r"""KL between mixtures, about: neither an upper bound nor a lower one.

    $\sum_a \pi_a \log\left[\sum_c \pi_c e^{-\mathrm{KL}(f_a \| f_c)} / \sum_b \omega_b
    e^{-\mathrm{KL}(f_a \| g_b)}\right]$ (Hershey & Olsen 2007: variational
    approximation): the difference of two upper bounds, of $-E_P[\log q]$ and of $-E_P[\log p]$. It
    may be negative; 0 where P and Q are one, and exact where each has one component. It needs KL
    between components in closed form; the `standard_error` is NaN.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.Mixture(jd.probs([0.5, 0.5]), jd.Normal(jnp.array([-2.0, 2.0]), 1.0))
        >>> print(f"{jd.kl(p, jd.Normal(0.0, 2.0), estimator=jd.VariationalApproximation()):.4f}")
        0.1253
    """

    deterministic: ClassVar[bool] = True

    def estimate(self, functional, operands, key):
        p, *q = _as_mixtures(self, functional, operands)
        if not q:
            raise TypeError("VariationalApproximation is of KL: for an entropy use `UpperBound()`.")
        value = _information(p, _between(KL(), p, q[0]), q[0])
        return _bound(value - _information(p, _between(KL(), p, p)), None)

    def refined(self):
        return self


def _bound(value: Array, side: Any) -> Estimate:
    nan = jnp.full_like(value, jnp.nan)
    return Estimate(value, nan, jnp.full_like(value, jnp.inf), nan, side)


def _as_mixtures(estimator: Any, functional: Any, operands: tuple[Any, ...]) -> list[Any]:
    if not isinstance(functional, KL | Entropy):
        raise TypeError(
            f"{type(estimator).__name__} serves KL and Entropy, got {type(functional).__name__}: "
            "use `Quadrature()` or `MonteCarlo(n)`."
        )
    for d in operands:
        if not isinstance(d, AbstractDistribution):
            raise TypeError(
                f"{type(estimator).__name__} serves mixtures of distributions with densities, got "
                f"{type(d).__name__}: leave `estimator` out."
            )
    return list(operands)


def _size(d: Any) -> int:
    return d.num_components if isinstance(d, Mixture) else 1


def _log_weights(d: Any) -> Array:
    return d.mixing.log_mass(None) if isinstance(d, Mixture) else jnp.zeros(1)


def _parts(d: Any) -> tuple[Any, ...] | None:
    """The components, where they are listed one by one."""
    if isinstance(d, Mixture) and isinstance(d.components, tuple):
        return d.components
    return None


def _stacked(d: Any) -> Any:
    """The components as one distribution, on its last batch axis."""
    if isinstance(d, Mixture):
        return d.components
    return map_batch_axis(d, lambda x, axis: jnp.expand_dims(x, x.ndim + axis + 1))


def _one_by_one(d: Any) -> tuple[Any, ...]:
    if (parts := _parts(d)) is not None or not isinstance(d, Mixture):
        return (d,) if parts is None else parts

    def take(i: int) -> Any:
        return map_batch_axis(
            d.components, lambda x, axis: jnp.take(x, jnp.minimum(i, x.shape[axis] - 1), axis)
        )

    return tuple(take(i) for i in range(_size(d)))


def _between(functional: Any, p: Any, q: Any) -> Array:
    """Of every component of P with every one of Q, on the last two axes."""
    if _parts(p) is None and _parts(q) is None:
        column = map_batch_axis(_stacked(p), lambda x, at: jnp.expand_dims(x, x.ndim + at + 1))
        row = map_batch_axis(_stacked(q), lambda x, at: jnp.expand_dims(x, x.ndim + at))
        values = exact(functional, column, row)
    else:
        rows = [[exact(functional, f, g) for g in _one_by_one(q)] for f in _one_by_one(p)]
        batch = functools.reduce(jnp.broadcast_shapes, (x.shape for row in rows for x in row))
        rows = [jnp.stack([jnp.broadcast_to(x, batch) for x in row], -1) for row in rows]
        values = jnp.stack(rows, -2)
    batch = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    return jnp.broadcast_to(values, (*batch, _size(p), _size(q)))


def _average(p: Any, values: Array) -> Array:
    """Over the components, of which those without weight count nothing."""
    weights = jnp.exp(_log_weights(p)).astype(values.dtype)
    lost = values == jnp.inf
    parts = jnp.where(lost, jnp.inf, weights * jnp.where(lost, 0.0, values))
    return jnp.sum(jnp.where(weights == 0, 0.0, parts), -1)


def _entropies(p: Any) -> Array:
    if (parts := _parts(p)) is None:
        values = exact(Entropy(), _stacked(p))
    else:
        each = jnp.broadcast_arrays(*(exact(Entropy(), f) for f in parts))
        values = jnp.stack(each, -1)
    return _average(p, jnp.broadcast_to(values, (*p.batch_shape, _size(p))))


def _information(p: Any, distances: Array, q: Any = None) -> Array:
    r"""$-\sum_a \pi_a \log \sum_b \omega_b e^{-D_{ab}}$; Q is P unless given."""
    log_weights = _log_weights(p if q is None else q).astype(distances.dtype)[..., None, :]
    weights = jnp.exp(log_weights)
    # With the digits of small distances where they are all small.
    fall = jnp.sum(weights * expm1(-distances), -1)
    near = fall > -0.5
    close = -log1p(jnp.where(near, fall, 0.0))
    far = -_log_sum(jnp.where(near[..., None], 0.0, log_weights - distances))
    return _average(p, jnp.where(near, close, far))


def _log_sum(terms: Array) -> Array:
    """Over the last axis; of none -inf, with slope 0."""
    none = jnp.all(terms == -jnp.inf, -1)
    value = jax.nn.logsumexp(jnp.where(none[..., None], 0.0, terms), -1)
    return jnp.where(none, -jnp.inf, value)


def _variational(p: Any, q: Any, distances: Array, num_steps: int) -> Array:
    """Hershey & Olsen 2007: with one of the joint weights fixed the best of the other is known."""
    dtype = distances.dtype
    log_p, log_q = _log_weights(p).astype(dtype)[..., None], _log_weights(q).astype(dtype)
    log_q = log_q[..., None, :]
    fixed_p, fixed_q, fixed = lax.stop_gradient((log_p, log_q, distances))

    def shares(log_phi: Array, axis: int) -> Array:
        total = jnp.expand_dims(_log_sum(jnp.moveaxis(log_phi, axis, -1)), axis)
        return jnp.where(
            log_phi == -jnp.inf, -jnp.inf, log_phi - jnp.where(total == -jnp.inf, 0.0, total)
        )

    def step(i: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        _, of_q = state
        of_p = shares(fixed_q + of_q - fixed, -1)
        return of_p, shares(fixed_p + of_p, -2)

    start = jnp.broadcast_to(fixed_q, fixed.shape), jnp.broadcast_to(fixed_p, fixed.shape)
    of_p, of_q = lax.fori_loop(0, num_steps, step, start)
    phi, psi = jnp.exp(log_p + of_p), jnp.exp(log_q + of_q)
    lost = (distances == jnp.inf) | (phi == 0)
    inside = bd0(phi, psi) + jnp.where(lost, 0.0, phi * jnp.where(lost, 0.0, distances))
    covered = jnp.any((fixed != jnp.inf) & (fixed_q != -jnp.inf), -1)  # at a finite distance
    infinite = jnp.any(~covered & (jnp.exp(log_p[..., 0]) > 0), -1)
    return jnp.where(infinite, jnp.inf, jnp.sum(inside, (-2, -1)))


def _component_lower(p: Any, q: Any) -> Array:
    r"""At most $\mathrm{KL}(f_a \| Q)$."""
    if _size(q) == 1:
        return _between(KL(), p, q)[..., 0]

    def bound(s: Array) -> Array:
        values = _between(Renyi(1 - s), p, q)
        s = s.astype(values.dtype)
        log_weights = _log_weights(q).astype(values.dtype)[..., None, :]
        return -_log_sum(s * (log_weights - values)) / s

    return jnp.max(jax.vmap(bound)(jnp.asarray(_POWERS)), 0)
