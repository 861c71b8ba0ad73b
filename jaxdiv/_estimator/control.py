"""Control variates: what is known to average to zero, and takes variance with it."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._fit.constraint import unconstrain
from .._functional.base import Draws
from .._special import expm1


class AbstractControlVariate(eqx.Module):
    r"""Controls $h$ with $E_P[h] = 0$; the mean of $t - \beta^\top h$ is taken for that of $t$.

    $\beta$ is the coefficient of least squares on the draws themselves, held fixed in derivatives.
    Its being estimated biases the mean by $O(1 / n)$, beside a standard error of $O(1 / \sqrt n)$,
    which allows for the degrees of freedom.
    """

    @abc.abstractmethod
    def controls(self, draws: Draws, p: Any, q: Any, x: Any) -> Float[Array, "S m *batch c"]:
        """The controls at draws `x` from `p`, `[S, m, *batch, *event]`."""


class RatioControlVariate(AbstractControlVariate):
    r"""$h = q / p - 1$, whose mean under $P$ is zero where $Q$ is normalised and covered by $P$.

    With $\beta = -1$ this is the estimator "k3" of KL (Schulman 2020). Its variance $E_P[(q / p)^2]
    - 1$ is infinite where $Q$ has the heavier tails (a normal of at least $\sqrt 2$ times the
    scale), and then so may be that of $t - \beta h$: look at `pareto_k`.

    Example:
        >>> import jax, jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(0.1, 1.0)
        >>> plain, controlled = (
        ...     jd.estimate(jd.KL(), p, q, jd.MonteCarlo(500, control=by), key=jax.random.key(0))
        ...     for by in (None, jd.RatioControlVariate())
        ... )
        >>> print(bool(controlled.standard_error < 0.1 * plain.standard_error))
        True
    """

    def controls(self, draws, p, q, x):
        if not q.normalized:
            raise ValueError(
                "RatioControlVariate: the mean of q / p - 1 is not known for an unnormalised Q: "
                "use ScoreControlVariate()."
            )
        return expm1(-draws.r)[..., None]


class ScoreControlVariate(AbstractControlVariate):
    r"""$h = \nabla_u \log p_u(x)$, the score of $P$ in its free coordinates: its mean is zero.

    Needs no $Q$, serves unnormalised ones, and has moments wherever $P$ has. KL between normals,
    or of one to any density whose logarithm is quadratic, is left without any variance.

    $P$ must have no batch axes (use `jax.vmap`), and a support that its parameters do not move.

    Example:
        >>> import jax, jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 2.0)
        >>> estimator = jd.MonteCarlo(50, control=jd.ScoreControlVariate())
        >>> e = jd.estimate(jd.KL(), p, q, estimator, key=jax.random.key(0))
        >>> print(f"{e.value - jd.kl(p, q):.4f} {e.standard_error:.4f}".replace("-", ""))
        0.0000 0.0000
    """

    def controls(self, draws, p, q, x):
        if p.batch_shape or not _fixed_support(p):
            raise ValueError(
                "ScoreControlVariate: the drawn distribution must have no batch axes (use "
                f"`jax.vmap`) and a support that no parameter moves; got {type(p).__name__} of "
                f"batch shape {p.batch_shape}."
            )
        free, rebuild = unconstrain(p)
        leaves, treedef = jax.tree.flatten(free)
        sizes = [leaf.size for leaf in leaves]

        def log_prob(u: Array, x: Any) -> Array:
            parts = jnp.split(u, [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)])
            parts = [a.reshape(b.shape) for a, b in zip(parts, leaves, strict=True)]
            return rebuild(jax.tree.unflatten(treedef, parts)).log_prob(x)

        u = jnp.concatenate([leaf.ravel() for leaf in leaves])
        score = jax.vmap(jax.vmap(lambda x: jax.grad(log_prob)(u, x)))(x)
        extra = (1,) * (draws.r.ndim - 2)
        score = score.reshape(*score.shape[:2], *extra, score.shape[-1])
        return jnp.broadcast_to(score, (*draws.r.shape, score.shape[-1]))


def _fixed_support(d: Any) -> bool:
    support = getattr(d, "support", None)  # a product, or classes, have none
    return support is None or all(isinstance(end, (int, float)) for end in support)


def coefficients(
    terms: Float[Array, "S b *batch"],
    controls: Float[Array, "S b *batch c"],
    weights: Float[Array, "S *batch"],
) -> Float[Array, "*batch c"]:
    """Of least squares: the variance of the weighted sum of the strata's means is the least."""
    t = lax.stop_gradient(terms - jnp.mean(terms, 1, keepdims=True)) * weights[:, None]
    h = lax.stop_gradient(controls - jnp.mean(controls, 1, keepdims=True))
    h = h * weights[:, None, ..., None]
    scale = jnp.sqrt(jnp.sum(h * h, (0, 1)))
    h = h / jnp.where(scale > 0, scale, 1.0)
    slope = jnp.einsum("sb...i,sb...->...i", h, t)
    if h.shape[-1] > 1:
        gram = jnp.einsum("sb...i,sb...j->...ij", h, h)
        slope = jnp.einsum("...ij,...j->...i", jnp.linalg.pinv(gram, hermitian=True), slope)
    return slope / jnp.where(scale > 0, scale, 1.0)
