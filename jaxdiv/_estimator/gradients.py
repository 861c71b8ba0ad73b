"""How the gradient of an average over draws is taken."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._functional.base import AbstractFunctional, Draws, ratio_of_logs
from .._functional.chi_squared import NeymanChiSquared
from .._functional.f_divergences import ChiSquared, SquaredHellinger
from .._functional.kl import KL
from .._functional.power import AmariAlpha, CressieRead, Tsallis
from .._functional.renyi import Renyi
from .._operand.mixture import Mixture
from .draws import AbstractDraws

_POWERS = KL | Renyi | AmariAlpha | CressieRead | Tsallis | SquaredHellinger
_POWERS = _POWERS | ChiSquared | NeymanChiSquared

Terms = Callable[[Draws], Any]


class AbstractGradient(eqx.Module):
    """Draws from a distribution and makes its terms carry the right gradient."""

    @abc.abstractmethod
    def check(self, functional: AbstractFunctional) -> None:
        """Raises where the gradient would be biased."""

    @abc.abstractmethod
    def draw(
        self, dist: Any, key: Key[Array, ""], n: int, draws: AbstractDraws
    ) -> tuple[Array, Any]:
        """Weights `[S, *batch]` of strata, and draws `[S, m, *batch, *event]`, or dicts of them."""

    @abc.abstractmethod
    def evaluate(self, terms: Terms, p: Any, q: Any, x: Any) -> tuple[Draws, Array]:
        """Both densities at draws `x` from `p`, and what is averaged of them."""

    @abc.abstractmethod
    def carry(
        self, terms: Float[Array, "S m *batch"], log_prob: Float[Array, "S m *batch"]
    ) -> Float[Array, "S m *batch"]:
        """The terms, unchanged in value, with the gradient of their mean."""


class Pathwise(AbstractGradient):
    """Differentiates through the draws (Kingma & Welling 2014): the default.

    Example:
        >>> import jax, jaxdiv as jd
        >>> estimator = jd.MonteCarlo(1000, gradient=jd.Pathwise())
        >>> def loss(loc):
        ...     p, q = jd.Normal(loc, 1.0), jd.Normal(0.0, 1.0)
        ...     return jd.kl(p, q, estimator=estimator, key=jax.random.key(0))
        >>> print(f"{jax.grad(loss)(1.0):.0f}")
        1
    """

    def check(self, functional):
        pass

    def draw(self, dist, key, n, draws):
        _need_reparameterized(dist)
        return draws.strata(dist, key, n)

    def evaluate(self, terms, p, q, x):
        draws = _at(p, q, x)
        return draws, terms(draws)

    def carry(self, terms, log_prob):
        return terms


class StickTheLanding(AbstractGradient):
    r"""Pathwise, without the score of the drawn density (Roeder, Wu & Duvenaud 2017).

    The part that is left out has mean zero, and what is left vanishes draw by draw where $P = Q$.
    Right only where the terms are linear in the log-ratio: KL. First derivatives only: those of
    second order lack what the first leaves out.

    Example:
        >>> import jax, jaxdiv as jd
        >>> estimator = jd.FixedDraws(10, gradient=jd.StickTheLanding())
        >>> def loss(loc):
        ...     return jd.kl(jd.Normal(loc, 1.0), jd.Normal(0.0, 1.0), estimator=estimator)
        >>> print(f"{jax.grad(loss)(0.0):.1f}")
        0.0
    """

    def check(self, functional):
        if not functional.linear_in_r:
            raise TypeError(
                f"StickTheLanding is biased for {type(functional).__name__}, whose terms are not "
                "linear in the log-ratio: use Pathwise(), DoublyReparameterised() or Score()."
            )

    def draw(self, dist, key, n, draws):
        _need_reparameterized(dist)
        return draws.strata(dist, key, n)

    def evaluate(self, terms, p, q, x):
        draws = _at(lax.stop_gradient(p), q, x)
        return draws, terms(draws)

    def carry(self, terms, log_prob):
        return terms


class DoublyReparameterised(AbstractGradient):
    r"""$E[(t'(r) + t''(r))\,\partial_x r\, \dot x]$ for terms $t(r)$, $r = \log p - \log q$.

    Pathwise, with the score of the drawn density, $E[t'(r)\,\partial_\theta \log p]$, made a path
    derivative in its turn (Tucker et al. 2019; Geffner & Domke 2021): unbiased where
    `StickTheLanding` is not, equal to it for KL, and zero draw by draw where $P = Q$. For the
    alpha-divergences (KL, Renyi, Hellinger, chi-squared, ...) and `ImportanceWeightedBound`. First
    derivatives only.

    Example:
        >>> import jax, jaxdiv as jd
        >>> estimator = jd.FixedDraws(10, gradient=jd.DoublyReparameterised())
        >>> def loss(loc):
        ...     return jd.renyi(jd.Normal(loc, 1.0), jd.Normal(0.0, 1.0), 0.5, estimator=estimator)
        >>> print(f"{jax.grad(loss)(0.0):.1f}")
        0.0
    """

    def check(self, functional):
        if not isinstance(functional, _POWERS):
            raise TypeError(
                f"DoublyReparameterised serves the alpha-divergences and ImportanceWeightedBound, "
                f"got {type(functional).__name__}: use Pathwise() or Score()."
            )

    def draw(self, dist, key, n, draws):
        _need_reparameterized(dist)
        return draws.strata(dist, key, n)

    def evaluate(self, terms, p, q, x):
        draws = _at(p, q, x)
        held = lax.stop_gradient(draws)

        def term(r: Array) -> Array:
            return terms(Draws(held.log_p, held.log_q, r))

        def slope(r: Array) -> Array:
            return jax.jvp(term, (r,), (jnp.ones_like(r),))[1]

        first, second = jax.jvp(slope, (held.r,), (jnp.ones_like(held.r),))
        through_draws = _at(lax.stop_gradient(p), lax.stop_gradient(q), x).r
        other = q.log_prob(lax.stop_gradient(x))
        value = with_slope(term(held.r), first + second, through_draws)
        return draws, with_slope(value, -first, jnp.broadcast_to(other, value.shape))

    def carry(self, terms, log_prob):
        return terms


class LeaveOneOut(eqx.Module):
    """The mean of the other draws' terms, as a baseline for `Score`."""


class Score(AbstractGradient):
    r"""$E[(t - b)\,\nabla \log p]$ (Williams 1992): for draws that cannot be differentiated.

    Args:
        baseline: `LeaveOneOut()`, which leaves the gradient unbiased, or None.

    Example:
        >>> import jax, jaxdiv as jd
        >>> estimator = jd.MonteCarlo(10_000, gradient=jd.Score())
        >>> def loss(z):
        ...     p, q = jd.logits(z), jd.probs([0.5, 0.5])
        ...     return jd.kl(p, q, estimator=estimator, key=jax.random.key(0))
        >>> print(f"{jax.grad(loss)(jax.numpy.array([1.0, 0.0]))[0]:.1f}")
        0.2
    """

    baseline: LeaveOneOut | None = LeaveOneOut()

    def check(self, functional):
        pass

    def draw(self, dist, key, n, draws):
        # One stratum: the score of a mixture has mean zero over all of it, not over a component.
        x = lax.stop_gradient(draws.sample(dist, key, n))
        weights = jnp.ones((1, *dist.batch_shape), jax.eval_shape(dist.log_prob, x).dtype)
        return weights, jax.tree.map(lambda x: x[None], x)

    def evaluate(self, terms, p, q, x):
        draws = _at(p, q, x)
        return draws, terms(draws)

    def carry(self, terms, log_prob):
        box = _score_box(log_prob)
        if self.baseline is None:
            return terms * box
        n = terms.shape[1]
        held = lax.stop_gradient(terms)
        others = (jnp.sum(held, 1, keepdims=True) - held) / max(n - 1, 1)
        return terms * box + others * (1 - box)


def _at(p: Any, q: Any, x: Any) -> Draws:
    log_p, log_q = jnp.broadcast_arrays(p.log_prob(x), q.log_prob(x))
    return Draws(log_p, log_q, ratio_of_logs(log_p, log_q))


@jax.custom_jvp
def with_slope(value: Array, slope: Array, along: Array) -> Array:
    """The value, whose derivative is its own and `slope` times that of `along`."""
    return value


@with_slope.defjvp
def _(primals, tangents):
    (value, slope, _), (moved, _, step) = primals, tangents
    return value, moved + jnp.where(slope == 0, 0.0, slope * step)


@jax.custom_jvp
def _score_box(log_prob: Array) -> Array:
    """One, whose derivative is that of the log-probability: DiCE (Foerster et al. 2018)."""
    return jnp.ones_like(log_prob)


@_score_box.defjvp
def _(primals, tangents):
    box = _score_box(*primals)
    return box, box * tangents[0]


def _need_reparameterized(dist: Any) -> None:
    parts = (dist,)
    if isinstance(dist, Mixture):
        parts = dist.components if isinstance(dist.components, tuple) else (dist.components,)
    if not all(part.reparameterized for part in parts):
        raise TypeError(
            f"draws of {type(dist).__name__} cannot be differentiated: use gradient=Score()."
        )
