"""Functions of the log-ratio whose means over samples are KL, or near it."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._special import expm1, psi


class LogRatios(NamedTuple):
    r"""$r = \log p - \log q$ at samples from $\mu$, with $w = p/\mu$ and $v = q/\mu = w e^{-r}$.

    The two quotients are formed from logarithms, so that neither is $0 \cdot \infty$.
    """

    r: Float[Array, "*samples"]
    w: Float[Array, "*samples"]
    v: Float[Array, "*samples"]


class AbstractLogRatioTerm(eqx.Module):
    """A function $k(r)$ of the log-ratio, and its derivative, both times the weight $w$."""

    @abc.abstractmethod
    def value(self, at: LogRatios) -> Float[Array, "*samples"]:
        """$w k(r)$."""

    @abc.abstractmethod
    def slope(self, at: LogRatios) -> Float[Array, "*samples"]:
        """$w k'(r)$."""


class K1(AbstractLogRatioTerm):
    r"""$k_1 = r = \log p - \log q$ at samples from $P$ (Schulman 2020, with $P$ for his $q$).

    Its mean is KL(P‖Q), and its variance is finite wherever `InformationVariance` is, but single
    terms may be negative. Its derivative is 1: as a gradient it is the score $\nabla \log p$,
    whose mean is 0 whatever $Q$ is.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.sampled_kl(-1.0, -1.5, value=jd.K1()):.3f}")
        0.500
    """

    def value(self, at):
        return _silent(at.w, at.w * at.r)

    def slope(self, at):
        return at.w


class K2(AbstractLogRatioTerm):
    r"""$k_2 = r^2 / 2$ (Schulman 2020).

    Biased as a value: its mean is half the second moment of $r$, which is KL to leading order
    where $P$ and $Q$ are close. Its derivative is $r$: as a gradient it is
    $r \nabla \log p$, whose mean is that of KL(P‖Q), exactly.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.sampled_kl(-1.0, -1.5, value=jd.K2()):.3f}")
        0.125
    """

    def value(self, at):
        return _silent(at.w, at.w * (0.5 * at.r * at.r))

    def slope(self, at):
        return _silent(at.w, at.w * at.r)


class K3(AbstractLogRatioTerm):
    r"""$k_3 = e^{-r} - 1 + r \ge 0$ (Schulman 2020).

    Its mean is KL(P‖Q) where $P$ covers $Q$, and near $P = Q$ it varies less than $k_1$. But its
    second moment holds $E_P[(q/p)^2] = e^{D_2(Q \| P)}$ (`renyi(q, p, 2.0)`), which is infinite
    where $Q$ is much wider than $P$: between normals as soon as its variance is twice as large.
    Averages then look steady until one sample ruins them. As a gradient its
    derivative $1 - e^{-r}$ gives that of the other divergence, KL(Q‖P).

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.sampled_kl(-1.0, -1.5, value=jd.K3()):.3f}")
        0.107
    """

    def value(self, at):
        near = abs(at.r) < 1
        # At r = -inf the exponential outgrows r: no inf - inf.
        far = at.v - at.w + jnp.where(at.r == -jnp.inf, 0.0, _silent(at.w, at.w * at.r))
        return jnp.where(near, at.w * psi(jnp.where(near, at.r, 0.0)), far)

    def slope(self, at):
        near = abs(at.r) < 1
        return jnp.where(near, -at.w * expm1(jnp.where(near, -at.r, 0.0)), at.w - at.v)


class OptimalControlVariate(AbstractLogRatioTerm):
    r"""$k_1 + \lambda (e^{-r} - 1)$, with the $\lambda$ that makes the variance least.

    The control has mean 0, where $P$ covers $Q$, so that $\lambda = -E[r c]/E[c^2]$ for
    $c = e^{-r} - 1$ (Schulman 2020: $\lambda = 0$ is `K1`, $\lambda = 1$ is `K3`). The
    moments are those of the samples given: the mean is off by a fraction of the order of one over
    their number, terms of single samples are not independent, and under `vmap` each row has its
    own $\lambda$. Where $r$ is infinite or $c$ overflows $\lambda$ is 0.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> log_p, log_q = jnp.array([-1.0, -1.0, -0.5]), jnp.array([-1.5, -0.75, -0.75])
        >>> terms = jd.sampled_kl(log_p, log_q, value=jd.OptimalControlVariate())
        >>> print(*(f"{k:.3f}" for k in terms))
        0.053 0.073 -0.001
    """

    def value(self, at):
        coefficient, control = self._regression(at)
        # A control that overflows is left out altogether: 0 times infinity is NaN.
        corrected = jnp.where(coefficient == 0, 0.0, coefficient * control)
        return K1().value(at) + corrected

    def slope(self, at):
        coefficient, _ = self._regression(at)
        return at.w - jnp.where(coefficient == 0, 0.0, coefficient * at.v)

    def _regression(self, at: LogRatios) -> tuple[Array, Array]:
        control = -K3().slope(at)
        spread, together = jnp.sum(control * control), jnp.sum(K1().value(at) * control)
        usable = jnp.isfinite(spread) & jnp.isfinite(together) & (spread > 0)
        return jnp.where(usable, -together / jnp.where(usable, spread, 1.0), 0.0), control


def _silent(w: Array, value: Array) -> Array:
    """What has no weight counts nothing, not even an infinity."""
    return jnp.where(w == 0, 0.0, value)
