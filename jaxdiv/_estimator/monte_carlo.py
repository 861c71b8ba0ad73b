"""Averages over draws, with standard errors."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from .._functional.base import AbstractFunctional, Draws
from .base import AbstractEstimator, Estimate, check_normalisation
from .control import AbstractControlVariate, coefficients
from .draws import AbstractDraws, IndependentDraws
from .gradients import AbstractGradient, DoublyReparameterised, Pathwise, StickTheLanding
from .pareto import tail_shape


class MonteCarlo(AbstractEstimator):
    r"""Averages over fresh draws from $P$ (and from $Q$ where the functional needs them).

    The value is that of the functional's link at the mean; its standard error is by the delta
    method, with the draws of a mixture stratified over its components. `pareto_k` is the shape of
    the heaviest tail of the terms and of their controls: above 1/2 they have no variance, and above
    0.7 the standard error means nothing (Vehtari et al. 2024, section 3).

    Args:
        num_draws: at least 2.
        gradient: `Pathwise()`, `StickTheLanding()`, `DoublyReparameterised()` or `Score()`.
        draws: `IndependentDraws()`, `Antithetic()` or `RandomizedQMC()`.
        control: `RatioControlVariate()`, `ScoreControlVariate()` or None.
        tail: whether `pareto_k` is fitted, which takes a second to compile; else it is NaN.

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
    draws: AbstractDraws = IndependentDraws()
    control: AbstractControlVariate | None = None
    tail: bool = eqx.field(static=True, default=True)
    deterministic: ClassVar[bool] = False

    def __check_init__(self):
        _check_count(self.num_draws, self.draws)

    def estimate(self, functional, operands, key):
        if key is None:
            raise ValueError("MonteCarlo draws afresh: give `key=jax.random.key(...)`.")
        return average(functional, operands, key, self)

    def refined(self):
        return FixedDraws(16 * self.num_draws, 1, _twice(self.gradient), self.draws, self.control)


class FixedDraws(AbstractEstimator):
    r"""Averages over draws that stay the same from call to call: a deterministic objective.

    The same seed gives the same bits, so that any deterministic optimiser applies; the optimum is
    that of the sample, off the true one by its Monte Carlo error.

    Args:
        num_draws: at least 2.
        seed: of the draws.
        gradient: as for `MonteCarlo`, and so are the others.
        draws: how they are made.
        control: what takes variance out.

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
    draws: AbstractDraws = IndependentDraws()
    control: AbstractControlVariate | None = None
    tail: bool = eqx.field(static=True, default=True)
    deterministic: ClassVar[bool] = True

    def __check_init__(self):
        _check_count(self.num_draws, self.draws)

    def estimate(self, functional, operands, key):
        return average(functional, operands, jr.key(self.seed), self)

    def refined(self):
        return FixedDraws(
            16 * self.num_draws, self.seed + 1, _twice(self.gradient), self.draws, self.control
        )


def value_only(estimator: AbstractEstimator) -> AbstractEstimator:
    """The same values, without the time that it takes to know the tail."""
    if isinstance(estimator, MonteCarlo | FixedDraws):
        return dataclasses.replace(estimator, tail=False)
    return estimator


def _twice(gradient: AbstractGradient) -> AbstractGradient:
    """What is right to second order as well, to judge an optimum by."""
    return Pathwise() if isinstance(gradient, StickTheLanding | DoublyReparameterised) else gradient


def _check_count(n: Any, draws: AbstractDraws) -> None:
    if not isinstance(n, int) or n < 2:
        raise ValueError(f"num_draws must be an integer of at least 2, got {n!r}.")
    if draws.count(n) != n or draws.num_blocks(n) < 2:
        more = next(m for m in (draws.count(n), 2 * draws.count(n)) if draws.num_blocks(m) > 1)
        raise ValueError(f"num_draws: {draws} takes {more} draws, and not {n}.")


def average(
    functional: AbstractFunctional,
    operands: tuple[Any, ...],
    key: Key[Array, ""],
    by: MonteCarlo | FixedDraws,
) -> Estimate:
    """The functional's link at the mean of its terms."""
    check_normalisation(functional, operands, normalize=False)
    by.gradient.check(functional)
    p, q = operands if len(operands) == 2 else operands * 2
    key_p, key_q = jr.split(key)
    from_p, from_q = drawn_from(functional)
    means = []
    if from_p:
        means.append(_mean_over(p, q, functional.terms, key_p, by))
    if from_q:

        def terms(draws: Draws) -> Any:
            return functional.reverse_terms(_swapped(draws))

        means.append(_mean_over(q, p, terms, key_q, by))
    each, variances, tails = zip(*means, strict=True)
    mean, variance = functools.reduce(jnp.add, each), functools.reduce(jnp.add, variances)
    k = functools.reduce(jnp.maximum, tails)
    value, slope = jax.jvp(functional.link, (mean,), (jnp.ones_like(mean),))
    error = jax.lax.stop_gradient(abs(slope) * jnp.sqrt(variance))
    return Estimate(value, error, jnp.full_like(value, by.num_draws), k)


def drawn_from(functional: AbstractFunctional) -> tuple[bool, bool]:
    """Whether an average needs draws from P, and whether it needs draws from Q."""
    draws = Draws(*(jnp.zeros(1),) * 3)
    sides = functional.terms, functional.reverse_terms
    from_p, from_q = (jax.eval_shape(terms, draws) is not None for terms in sides)
    return from_p, from_q


def _swapped(draws: Draws) -> Draws:
    return Draws(draws.log_q, draws.log_p, -draws.r)


def _mean_over(
    p: Any, q: Any, terms: Callable[[Draws], Any], key: Key[Array, ""], by: MonteCarlo | FixedDraws
) -> tuple[Array, Array, Array]:
    """The stratified mean of `terms` over draws from `p`, its variance, and their tail's shape."""
    weights, x = by.gradient.draw(p, key, by.num_draws, by.draws)
    batch = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    extra = (1,) * (len(batch) - len(p.batch_shape))
    spread = jax.tree.map(lambda x: x.reshape(*x.shape[:2], *extra, *x.shape[2:]), x)
    weights = weights.reshape(weights.shape[0], *extra, *weights.shape[1:])
    draws, values = by.gradient.evaluate(terms, p, q, spread)
    m = values.shape[1]
    blocks, free = by.draws.num_blocks(m), 0
    averaged = values[..., None]
    if by.control is not None:
        controls = by.control.controls(draws, p, q, x)
        free = controls.shape[-1]
        if blocks < 2 * (free + 1):
            raise ValueError(
                f"{by.control} has {free} controls, for which {blocks} blocks of draws are too few "
                "(two for each and two more are needed): raise num_draws, or the replicates."
            )
        beta = coefficients(_block_means(values, blocks), _block_means(controls, blocks), weights)
        values = values - jnp.sum(beta * controls, -1)
        averaged = jnp.concatenate([averaged, controls], -1)
    values = by.gradient.carry(values, draws.log_p)
    mean = jnp.sum(jnp.where(weights == 0, 0.0, weights * jnp.mean(values, 1)), 0)
    weights, values, averaged = jax.lax.stop_gradient((weights, values, averaged))
    scatter = jnp.var(_block_means(values, blocks), 1, ddof=1) / blocks * weights**2
    scatter = scatter * ((blocks - 1) / (blocks - 1 - free))
    variance = jnp.sum(jnp.where(weights == 0, 0.0, scatter), 0)
    if not by.tail:
        return mean, variance, jnp.full_like(mean, jnp.nan)
    # Of the terms and of the controls, each for itself: what is left of the terms has the moments
    # that they all have, and may have no tail to speak of at the place where theirs begin.
    weights = weights[:, None, ..., None]
    apart = weights * (averaged - jnp.mean(averaged, 1, keepdims=True))
    apart = jnp.where(weights == 0, 0.0, apart)
    return mean, variance, jnp.max(tail_shape(apart.reshape(-1, *apart.shape[2:])), -1)


def _block_means(x: Array, blocks: int) -> Array:
    return jnp.mean(x.reshape(x.shape[0], blocks, -1, *x.shape[2:]), 2)
