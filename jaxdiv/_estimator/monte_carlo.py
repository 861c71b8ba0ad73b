"""Averages over draws, with standard errors."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from .._functional.base import AbstractFunctional, Draws, ratio_of_logs
from .base import AbstractEstimator, Estimate, check_normalisation
from .gradients import AbstractGradient, Pathwise, StickTheLanding


class MonteCarlo(AbstractEstimator):
    r"""Averages over fresh draws from $P$ (and from $Q$ where the functional needs them).

    The value is that of the functional's link at the mean; its standard error is by the delta
    method, with the draws of a mixture stratified over its components.

    Args:
        num_draws: at least 2.
        gradient: `Pathwise()`, `StickTheLanding()` or `Score()`.

    Needs `key`.

    Example:
        >>> import jax, jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0)
        >>> e = jd.estimate(jd.KL(), p, q, jd.MonteCarlo(10_000), key=jax.random.key(0))
        >>> print(abs(float(e.value) - 0.5) < 4 * float(e.standard_error) < 0.05)
        True
    """

    num_draws: int = eqx.field(static=True)
    gradient: AbstractGradient = Pathwise()
    deterministic: ClassVar[bool] = False

    def __check_init__(self):
        _check_count(self.num_draws)

    def estimate(self, functional, operands, key):
        if key is None:
            raise ValueError("MonteCarlo draws afresh: give `key=jax.random.key(...)`.")
        return average(functional, operands, key, self.num_draws, self.gradient)

    def refined(self):
        return FixedDraws(16 * self.num_draws, 1, _twice(self.gradient))


class FixedDraws(AbstractEstimator):
    r"""Averages over draws that stay the same from call to call: a deterministic objective.

    The same seed gives the same bits, so that any deterministic optimiser applies; the optimum is
    that of the sample, off the true one by its Monte Carlo error.

    Args:
        num_draws: at least 2.
        seed: of the draws.
        gradient: `Pathwise()`, `StickTheLanding()` or `Score()`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0)
        >>> estimator = jd.FixedDraws(1000)
        >>> print(bool(jd.kl(p, q, estimator=estimator) == jd.kl(p, q, estimator=estimator)))
        True
    """

    num_draws: int = eqx.field(static=True)
    seed: int = eqx.field(static=True, default=0)
    gradient: AbstractGradient = Pathwise()
    deterministic: ClassVar[bool] = True

    def __check_init__(self):
        _check_count(self.num_draws)

    def estimate(self, functional, operands, key):
        return average(functional, operands, jr.key(self.seed), self.num_draws, self.gradient)

    def refined(self):
        return FixedDraws(16 * self.num_draws, self.seed + 1, _twice(self.gradient))


def _twice(gradient: AbstractGradient) -> AbstractGradient:
    """What is right to second order as well, to judge an optimum by."""
    return Pathwise() if isinstance(gradient, StickTheLanding) else gradient


def _check_count(n: Any) -> None:
    if not isinstance(n, int) or n < 2:
        raise ValueError(f"num_draws must be an integer of at least 2, got {n!r}.")


def average(
    functional: AbstractFunctional,
    operands: tuple[Any, ...],
    key: Key[Array, ""],
    n: int,
    gradient: AbstractGradient,
) -> Estimate:
    """The functional's link at the mean of its terms."""
    check_normalisation(functional, operands, normalize=False)
    if isinstance(gradient, StickTheLanding) and not functional.linear_in_r:
        raise TypeError(
            f"StickTheLanding is biased for {type(functional).__name__}, whose terms are not "
            "linear in the log-ratio: use Pathwise() or Score()."
        )
    p, q = operands if len(operands) == 2 else operands * 2
    key_p, key_q = jr.split(key)
    mean, variance = _mean_over(p, functional.terms, p, q, key_p, n, gradient)
    if jax.eval_shape(functional.reverse_terms, _no_draws()) is not None:
        more, other = _mean_over(q, functional.reverse_terms, p, q, key_q, n, gradient)
        mean, variance = mean + more, variance + other
    value, slope = jax.jvp(functional.link, (mean,), (jnp.ones_like(mean),))
    error = jax.lax.stop_gradient(abs(slope) * jnp.sqrt(variance))
    return Estimate(value, error, jnp.full_like(value, n))


def _no_draws() -> Draws:
    return Draws(*(jnp.zeros(1),) * 3)


def _mean_over(
    drawn: Any,
    terms: Callable[[Draws], Any],
    p: Any,
    q: Any,
    key: Key[Array, ""],
    n: int,
    gradient: AbstractGradient,
) -> tuple[Array, Array]:
    """The stratified mean of `terms` over draws from `drawn` (`p` or `q`), and its variance."""
    weights, x = gradient.draw(drawn, key, n)
    batch = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    extra = (1,) * (len(batch) - len(drawn.batch_shape))
    x = jax.tree.map(lambda x: x.reshape(*x.shape[:2], *extra, *x.shape[2:]), x)
    weights = weights.reshape(weights.shape[0], *extra, *weights.shape[1:])
    log_p = (gradient.density(p) if drawn is p else p).log_prob(x)
    log_q = (gradient.density(q) if drawn is q and drawn is not p else q).log_prob(x)
    log_p, log_q = jnp.broadcast_arrays(log_p, log_q)
    values = terms(Draws(log_p, log_q, ratio_of_logs(log_p, log_q)))
    values = gradient.carry(values, log_p if drawn is p else log_q)
    m = values.shape[1]
    mean = jnp.sum(jnp.where(weights == 0, 0.0, weights * jnp.mean(values, 1)), 0)
    spread = jax.lax.stop_gradient(jnp.var(values, 1, ddof=1) / m * weights**2)
    return mean, jnp.sum(jnp.where(weights == 0, 0.0, spread), 0)
