"""Averages over draws from a proposal, with importance weights."""

import functools
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Key

from .._functional.base import Draws, ratio_of_logs
from .._operand.base import AbstractDistribution
from .base import AbstractEstimator, Estimate, check_normalisation
from .monte_carlo import drawn_from
from .pareto import smooth_ratios, tail_shape


class ImportanceSampling(AbstractEstimator):
    r"""$E_P[t] \approx \sum_i w_i t(x_i)$, $x_i \sim G$, $w_i \propto \tilde p(x_i) / g(x_i)$.

    Self-normalised, for a $P$ that cannot be drawn from or is not normalised: a `LogDensity`, a
    posterior. $\log Z_P$ is estimated from the same draws and subtracted, so that KL is KL. An
    unnormalised $Q$ is as everywhere: of KL and cross-entropy what it lacks is $\log Z_Q$; in the
    other functionals, which also draw from $Q$ or need its scale, it is normalised as $P$ is.

    The standard error is the infinitesimal jackknife's, from the estimate's derivatives in the
    weights of the draws, which counts what the normalisations do. The bias is
    $O(1 / \mathrm{ESS})$. `effective_sample_size` is $1 / \sum_i w_i^2$, and `pareto_k` the larger
    of the weights' $\hat k$ (see `pareto_smooth`) and the terms': above 0.7 the proposal misses
    too much of $P$ for the value or its error to be believed, and `Estimate.warning` says so.

    Args:
        proposal: a normalised distribution $G$ to draw from, with tails no lighter than those of
            $P$. It is not differentiated.
        num_draws: at least 2.
        smoothed: whether the largest weights are smoothed, which lessens their variance.

    Needs `key`.

    Example:
        >>> import jax, jaxdiv as jd
        >>> p = jd.LogDensity(lambda x: -0.5 * x**2)  # a normal density, but for its constant
        >>> by = jd.ImportanceSampling(jd.StudentT(5.0, 0.0, 1.5), 2000)
        >>> e = jax.jit(lambda key: jd.estimate(jd.KL(), p, jd.Normal(1.0, 1.0), by, key=key))(
        ...     jax.random.key(0)
        ... )
        >>> print(abs(float(e.value) - 0.5) < 4 * float(e.standard_error) < 0.2, e.warning)
        True None
    """

    proposal: AbstractDistribution
    num_draws: int = eqx.field(static=True)
    smoothed: bool = eqx.field(static=True, default=True)
    deterministic: ClassVar[bool] = False

    def __check_init__(self):
        if not isinstance(self.num_draws, int) or self.num_draws < 2:
            raise ValueError(f"num_draws must be an integer of at least 2, got {self.num_draws!r}.")

    def estimate(self, functional, operands: tuple[Any, ...], key):
        check_normalisation(functional, operands, normalize=True)
        p, q = operands[0], operands[-1]
        log_p, log_q, log_g = self._log_probs(p, q, key)
        forward, reverse = drawn_from(functional)
        of_q = reverse or (functional.needs_normalized and not q.normalized)
        ratios_p, k = self._smooth(log_p, log_g)
        ratios_q, k_q = self._smooth(log_q, log_g) if of_q else (ratios_p, k)

        def value(log_counts: Array) -> Array:
            weights_p, log_z_p = _normalise(ratios_p + log_counts)
            weights_q, log_z_q = _normalise(ratios_q + log_counts)
            a = log_p if p.normalized else log_p - log_z_p
            b = log_q if q.normalized or not of_q else log_q - log_z_q
            b = a if len(operands) == 1 else b
            draws = Draws(a, b, ratio_of_logs(a, b))
            means = []
            if forward:
                means.append(_weighted(weights_p, functional.terms(draws)))
            if reverse:
                means.append(_weighted(weights_q, functional.reverse_terms(draws)))
            return functional.link(functools.reduce(jnp.add, means))

        once = jnp.zeros_like(log_p)
        k = jnp.maximum(k, k_q)
        sizes = [1 / jnp.sum(_normalise(r)[0] ** 2, 0) for r in (ratios_p, ratios_q)]
        return self._with_error(value, once, jnp.minimum(*sizes), k)

    def log_normalizer(self, p: AbstractDistribution, *, key: Key[Array, ""]) -> Estimate:
        r"""$\log Z_P = \log E_G[\tilde p / g]$.

        Example:
            >>> import jax, jaxdiv as jd
            >>> p = jd.LogDensity(lambda x: -0.5 * x**2)
            >>> by = jd.ImportanceSampling(jd.StudentT(5.0, 0.0, 1.5), 2000)
            >>> e = by.log_normalizer(p, key=jax.random.key(0))
            >>> print(abs(float(e.value) - 0.9189) < 4 * float(e.standard_error) < 0.1)
            True
        """
        log_p, _, log_g = self._log_probs(p, p, key)
        ratios, k = self._smooth(log_p, log_g)
        size = 1 / jnp.sum(_normalise(ratios)[0] ** 2, 0)
        return self._with_error(
            lambda log_counts: _normalise(ratios + log_counts)[1], jnp.zeros_like(log_p), size, k
        )

    def refined(self):
        return ImportanceSampling(self.proposal, 16 * self.num_draws, self.smoothed)

    def _log_probs(self, p: Any, q: Any, key: Key[Array, ""] | None) -> list[Array]:
        """Log-densities of both and of the proposal at draws from it, `[n, *batch]`."""
        if key is None:
            raise ValueError("ImportanceSampling draws afresh: give `key=jax.random.key(...)`.")
        g = lax.stop_gradient(self.proposal)
        if not g.normalized or g.event_shape != p.event_shape:
            raise ValueError(
                "ImportanceSampling: the proposal must be normalised and have the outcomes of the "
                f"operands, of event shape {p.event_shape}; got {type(g).__name__} of event shape "
                f"{g.event_shape}, normalized={g.normalized}."
            )
        x = g.sample(key, (self.num_draws,))
        log_g = g.log_prob(x)
        batch = jnp.broadcast_shapes(p.batch_shape, q.batch_shape, g.batch_shape)
        extra = (1,) * (len(batch) - len(g.batch_shape))
        x = x.reshape(self.num_draws, *extra, *x.shape[1:])
        log_g = log_g.reshape(self.num_draws, *extra, *log_g.shape[1:])
        shape = (self.num_draws, *batch)
        return [jnp.broadcast_to(v, shape) for v in (p.log_prob(x), q.log_prob(x), log_g)]

    def _smooth(self, log_p: Array, log_g: Array) -> tuple[Array, Array]:
        """Log-ratios, smoothed if they are to be, and the shape of their tail."""
        ratios = log_p - log_g
        rows = jnp.moveaxis(ratios, 0, -1).reshape(-1, self.num_draws)
        smoothed, k = jax.vmap(smooth_ratios)(rows)
        smoothed = jnp.moveaxis(smoothed.reshape(*ratios.shape[1:], -1), -1, 0)
        # What is not known makes the estimate unknown: it must not weigh nothing without a word.
        smoothed = jnp.where(jnp.isnan(ratios), jnp.nan, smoothed if self.smoothed else ratios)
        return smoothed, k.reshape(ratios.shape[1:])

    def _with_error(self, value: Any, once: Array, size: Array, k: Array) -> Estimate:
        result, pull = jax.vjp(value, once)
        influence = self.num_draws * lax.stop_gradient(pull(jnp.ones_like(result))[0])
        error = jnp.std(influence, 0, ddof=1) / math.sqrt(self.num_draws)
        k = jnp.maximum(k, tail_shape(influence - jnp.mean(influence, 0)))
        return Estimate(result, *lax.stop_gradient((error, size, k)))


def _normalise(log_ratios: Array) -> tuple[Array, Array]:
    """Weights that sum to one over the draws, and the logarithm of the mean ratio."""
    total = jax.nn.logsumexp(log_ratios, 0)
    return jnp.exp(log_ratios - total), total - math.log(len(log_ratios))


def _weighted(weights: Array, terms: Any) -> Array:
    return jnp.sum(jnp.where(weights == 0, 0.0, weights * jnp.where(weights == 0, 0.0, terms)), 0)
