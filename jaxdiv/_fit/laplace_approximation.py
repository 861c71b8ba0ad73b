"""Laplace's approximation: the mode, and the curvature there."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from .algorithm import AbstractAlgorithm, Ends
from .families import MixtureOf
from .modes import is_repeated, laplace_starts
from .newton import second_order
from .steps import lower

_AT_REST = 1e-4  # nats that a Newton step may still promise
_LAST_STEPS = 3  # without a search, after a walk, each of which doubles the digits


class LaplaceApproximation(AbstractAlgorithm):
    r"""$N(\hat x, H^{-1})$ at a mode $\hat x$, with $H$ the Hessian of $-\log p$ there.

    Starts are walked to modes by Newton's method; each distinct one is laid over and judged like
    the result of any other algorithm, by KL to the target. It is no optimum of that: `gap` is what
    a Newton step towards the mode still promises. Where there is no mode, or the density does not
    curve down there, the start has `stalled`.

    Args:
        tolerance: on the gap, in nats.
        max_evaluations: not used: the walks are short.

    For the templates of one mode: of a `MixtureOf` it raises TypeError.

    References:
        Tierney & Kadane 1986.

    Example:
        >>> import jaxdiv as jd
        >>> by = jd.LaplaceApproximation()  # of fit(reverse_kl(p), optim=by, key=key)
        >>> print(by.quantity)
        KL(family, target) - log Z by independent draws; laid by LaplaceApproximation
    """

    tolerance: float = eqx.field(static=True, default=_AT_REST)
    max_evaluations: int = eqx.field(static=True, default=10_000)
    forward: ClassVar[bool] = False
    is_exact: ClassVar[bool] = False

    @property
    def quantity(self):
        return "KL(family, target) - log Z by independent draws; laid by LaplaceApproximation"

    def solve(self, problem, key, num_judged):
        del num_judged
        if isinstance(problem.template, MixtureOf):
            raise TypeError(
                "LaplaceApproximation is of one mode, and a MixtureOf of several: leave `optim` "
                "out, or give SampleAverage()."
            )
        starts = laplace_starts(problem.log_density, problem.first, problem.others, key)

        def minus(x):
            return -problem.log_density(x)

        def newton_step(x):
            value, grad, hessian = second_order(minus, x)
            new = x - jnp.linalg.solve(hessian, grad)
            return jnp.where(minus(new) <= value, new, x)

        def one(end):
            end = jax.lax.fori_loop(0, _LAST_STEPS, lambda _, x: newton_step(x), end)
            value, grad, hessian = second_order(minus, end)
            sane = jnp.isfinite(value) & jnp.all(jnp.isfinite(hessian))
            values, vectors = jnp.linalg.eigh(jnp.where(sane, hessian, jnp.eye(end.size)))
            curved = sane & (values[0] > jnp.finfo(end.dtype).eps * values[-1])
            scale = jnp.where(curved, vectors / jnp.sqrt(jnp.abs(values)), jnp.eye(end.size))
            step = vectors.T @ grad / values
            decrement = 0.5 * jnp.sum(step**2 * values)
            decrement = jnp.where(curved, decrement, jnp.inf)
            return end, lower(scale), decrement, jnp.max(jnp.abs(step) * jnp.sqrt(jnp.abs(values)))

        loc, scale, gap, step = jax.lax.map(one, starts.end)
        there = starts._replace(loc=loc, scale=scale)
        num = len(gap)
        return Ends(
            jax.vmap(problem.template.member)(loc, scale),
            gap=gap,
            step=step,
            curvature=jnp.where(jnp.isfinite(gap), 1.0, jnp.nan),
            settled=gap <= self.tolerance,
            repeated=is_repeated(there),
            num_steps=jnp.zeros(num, jnp.int32),
            num_evaluations=starts.num_evaluations
            + (_LAST_STEPS + 1) * (problem.first.size + 1)
            + _LAST_STEPS,
            num_bad=jnp.zeros(num, jnp.int32),
            losses=jnp.full((num, 1), jnp.nan, gap.dtype),
        )
