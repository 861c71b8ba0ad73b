"""Templates of families: members made from a location and a scale factor."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._operand.base import floating
from .._operand.low_rank_normal import LowRankMultivariateNormal
from .._operand.mixture import Mixture
from .._operand.multivariate_student_t import MultivariateStudentT
from .._operand.tags import logits
from .template import AbstractTemplate


class LowRank(AbstractTemplate):
    r"""$N(\mu, W W^T + \mathrm{diag}(d))$ with $W$ of `rank` columns, as a template.

    Its member has the given variances to the digit, and of the correlations the leading
    eigenvectors (probabilistic principal components of the correlation matrix: Tipping & Bishop
    1999), so that it does not depend on the units of the coordinates.

    Args:
        rank: at least 1, and less than the dimension.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> member = jd.LowRank(1).member(jnp.zeros(3), jnp.diag(jnp.array([1.0, 2.0, 3.0])))
        >>> print(jnp.round(member.variance, 4), member.factor.shape)
        [1. 4. 9.] (3, 1)
    """

    rank: int = eqx.field(static=True)

    def __check_init__(self):
        _check_positive("LowRank", "rank", self.rank)

    def member(self, loc, scale_tril):
        loc, scale_tril = floating(loc, scale_tril)
        if not self.rank < loc.shape[-1]:
            raise ValueError(
                f"LowRank: rank must be less than the dimension, got {self.rank} in "
                f"{loc.shape[-1]}: use FullRank()."
            )
        scale = jnp.sqrt(jnp.sum(scale_tril**2, -1))
        rows = scale_tril / scale[:, None]
        # Of rows R, R R^T is the correlation matrix: singular values keep its small eigenvalues.
        vectors, s, _ = jnp.linalg.svd(rows)
        noise = jnp.mean(s[self.rank :] ** 2)
        loadings = vectors[:, : self.rank] * jnp.sqrt(s[: self.rank] ** 2 - noise)
        rest = noise * jnp.sum(vectors[:, : self.rank] ** 2, -1)
        rest = rest + jnp.sum((vectors * s)[:, self.rank :] ** 2, -1)
        return LowRankMultivariateNormal(loc, scale[:, None] * loadings, scale**2 * rest)


class FullRankT(AbstractTemplate):
    r"""Student's t on $R^D$, with a full scale matrix, as a template.

    The degrees of freedom are fitted with the rest; the scale matrix is the one given.

    Args:
        df: those of the member that a fit starts from.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> member = jd.FullRankT(df=5.0).member(jnp.zeros(2), jnp.eye(2))
        >>> print(f"{member.log_prob(jnp.zeros(2)):.4f}")
        -1.8379
    """

    df: float = 5.0

    def __check_init__(self):
        if isinstance(self.df, (int, float)) and not self.df > 0:
            raise ValueError(f"FullRankT: df must be positive, got {self.df}.")

    def member(self, loc, scale_tril):
        df, loc, scale_tril = floating(self.df, loc, scale_tril)
        return MultivariateStudentT(df, loc, scale_tril)


class MixtureOf(AbstractTemplate):
    r"""$\sum_k w_k q_k$ with `num_components` members of another template, as a template.

    From one location the components are of equal weight and of the given scale, the first about
    that location and the others about draws from $N(\mu, L L^T)$, the same for every call: equal
    components would stay equal. Locations and factors of $K$ modes, `[K, D]` and `[K, D, D]`, are
    taken one for each component.

    Args:
        num_components: $K$.
        template: of the components, such as `FullRankT()`.
        seed: of the draws.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> modes = jnp.array([[-2.0, 0.0], [2.0, 0.0]])
        >>> template = jd.MixtureOf(2, jd.FullRankT())
        >>> member = template.member(modes, jnp.stack([jnp.eye(2), jnp.eye(2)]))
        >>> print(member.mean)
        [0. 0.]
    """

    num_components: int = eqx.field(static=True)
    template: AbstractTemplate
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        _check_positive("MixtureOf", "num_components", self.num_components)

    def member(self, loc, scale_tril):
        loc, scale_tril = floating(loc, scale_tril)
        num = self.num_components
        if loc.ndim == 1:
            noise = jr.normal(jr.key(self.seed), (num, loc.size), loc.dtype).at[0].set(0.0)
            loc = loc + noise @ scale_tril.T
            scale_tril = jnp.broadcast_to(scale_tril, (num, *scale_tril.shape))
        if len(loc) != num or scale_tril.ndim != 3:
            raise ValueError(
                f"MixtureOf: {num} components need one location or {num}, each with its factor, "
                f"got shapes {loc.shape} and {scale_tril.shape}."
            )
        return Mixture(
            logits(jnp.zeros(num, loc.dtype)), jax.vmap(self.template.member)(loc, scale_tril)
        )


def _check_positive(template: str, name: str, value: Any) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{template}: {name} must be a positive integer, got {value!r}.")
