"""Images of distributions under fixed invertible maps of the line."""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from .._errors import NoClosedFormError
from .._functional.base import AbstractDivergence
from .._functional.variance import InformationVariance
from .._special import expm1, sigmoid, softplus
from .._special.base import log1p
from .base import AbstractDistribution, AbstractWrapper, Pieces, floating
from .univariate import Shifted, inside_support


class AbstractBijection(eqx.Module):
    """An increasing map of an interval onto another, without parameters."""

    @property
    @abc.abstractmethod
    def domain(self) -> tuple[float, float]:
        """Where it is defined."""

    @abc.abstractmethod
    def forward(self, x: Array) -> Array:
        """$f(x)$."""

    @abc.abstractmethod
    def inverse(self, y: Array) -> tuple[Array, Array]:
        r"""$x = f^{-1}(y)$ and $\log f'(x)$."""

    @abc.abstractmethod
    def image(self, x: ArrayLike) -> ArrayLike:
        """$f$ of an end of a support, infinite ones among them."""


class Exp(AbstractBijection):
    """$e^x$: for the distribution of a number whose logarithm has the given one.

    Example:
        >>> import jaxdiv as jd
        >>> p = jd.Transformed(jd.Laplace(0.0, 1.0), jd.Exp())
        >>> print(f"{jd.kl(p, jd.Transformed(jd.Laplace(1.0, 1.0), jd.Exp())):.6f}")
        0.367879
    """

    @property
    def domain(self):
        return -math.inf, math.inf

    def forward(self, x):
        return jnp.exp(x)

    def inverse(self, y):
        x = jnp.log(y)
        return x, x

    def image(self, x):
        if isinstance(x, (int, float)):
            return math.exp(x) if x < 700 else math.inf
        return jnp.exp(x)


class Log(AbstractBijection):
    r"""$\log x$, of the positive numbers: for the logarithm of a number of the given distribution.

    Draws are the logarithms of the base's, which underflow where nearly all of it is at zero.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = (jd.Transformed(jd.Gamma(2.0, b), jd.Log()) for b in (1.0, 2.0))
        >>> print(f"{jd.kl(p, q):.6f}")
        0.613706
    """

    @property
    def domain(self):
        return 0.0, math.inf

    def forward(self, x):
        return jnp.log(x)

    def inverse(self, y):
        return jnp.exp(y), -y  # whose slope is one over it

    def image(self, x):
        if isinstance(x, (int, float)):
            return math.log(x) if x > 0 else -math.inf
        return jnp.log(x)


class Sigmoid(AbstractBijection):
    """$1/(1 + e^{-x})$: for the distribution of a number whose logit has the given one.

    Example:
        >>> import jaxdiv as jd
        >>> p = jd.Transformed(jd.Logistic(0.0, 1.0), jd.Sigmoid())  # uniform
        >>> print(f"{p.log_prob(0.3):.6f}")
        0.000000
    """

    @property
    def domain(self):
        return -math.inf, math.inf

    def forward(self, x):
        return sigmoid(x)

    def inverse(self, y):
        log_y, log_rest = jnp.log(y), log1p(-y)
        return log_y - log_rest, log_y + log_rest

    def image(self, x):
        if isinstance(x, (int, float)):
            return 1.0 if x == math.inf else 0.0 if x == -math.inf else 1 / (1 + math.exp(-x))
        return sigmoid(x)


class Softplus(AbstractBijection):
    r"""$\log(1 + e^x)$, onto the positive numbers.

    Example:
        >>> import jaxdiv as jd
        >>> p = jd.Transformed(jd.Normal(0.0, 1.0), jd.Softplus())
        >>> print(f"{jd.kl(p, jd.Transformed(jd.Normal(1.0, 1.0), jd.Softplus())):.3f}")
        0.500
    """

    @property
    def domain(self):
        return -math.inf, math.inf

    def forward(self, x):
        return softplus(x)

    def inverse(self, y):
        rest = jnp.log(-expm1(-y))  # the logarithm of the slope, which is 1 - exp(-y)
        return y + rest, rest

    def image(self, x):
        if isinstance(x, (int, float)):
            return math.inf if x == math.inf else 0.0 if x == -math.inf else math.log1p(math.exp(x))
        return softplus(x)


class Transformed(AbstractWrapper):
    r"""The distribution of $f(X)$, $f$ fixed, increasing and smooth.

    Divergences between two with the same $f$ are those of the bases.

    Args:
        base: the distribution of $X$, a number.
        bijection: $f$: `Exp()`, `Log()`, `Sigmoid()` or `Softplus()`.

    Mean and variance are integrals that are not known here, and raise.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = (jd.Transformed(jd.Gumbel(m, 1.0), jd.Exp()) for m in (0.0, 1.0))
        >>> print(f"{jd.kl(p, q):.6f}")
        0.718282
    """

    base: AbstractDistribution
    bijection: AbstractBijection

    def __check_init__(self):
        base = self.base
        if isinstance(base, AbstractDistribution) and (base.event_shape or base.integer):
            raise ValueError(f"Transformed: the base must be of real numbers, got {base}.")

    @property
    def batch_shape(self):
        return self.base.batch_shape

    @property
    def event_shape(self):
        return ()

    @property
    def reparameterized(self):
        return self.base.reparameterized

    @property
    def integer(self):
        return False

    @property
    def normalized(self):
        return self.base.normalized

    @property
    def support(self):
        low, high = self.base.support
        return self.bijection.image(low), self.bijection.image(high)

    @property
    def mean(self):
        raise NoClosedFormError("Transformed: its mean is not known; draw from it, or integrate.")

    @property
    def variance(self):
        raise NoClosedFormError("Transformed: its variance is not known; draw, or integrate.")

    def log_prob(self, x):
        (x,) = floating(x)
        low, high = (self.bijection.image(end) for end in self.bijection.domain)
        inside, y = inside_support(x, low, high, 0.5)
        z, log_slope = self.bijection.inverse(y)
        return jnp.where(inside, self.base.log_prob(z) - log_slope, -jnp.inf)

    def sample(self, key, shape=()):
        return self.bijection.forward(self.base.sample(key, shape))

    def strata(self, key, n):
        weights, draws = self.base.strata(key, n)
        return weights, self.bijection.forward(draws)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        inner = self.base.pieces()
        if inner is None:
            return None
        scales = inner.scale_trils[..., 0]
        steps = jnp.arange(-9, 10, dtype=scales.dtype).reshape(-1, *(1,) * inner.centres.ndim)
        around = (inner.centres + steps * scales).reshape(-1, *inner.centres.shape[1:])
        points = self.bijection.forward(jnp.concatenate([around, inner.points]))
        return Pieces(points[:0], points[:0, ..., None], points, inner.open_tails)

    def value_checks(self):
        return self.base.value_checks()

    def reduce(self, evaluate, functional, *operands):
        kinds = {type(d.bijection) if isinstance(d, Transformed) else None for d in operands}
        invariant = isinstance(functional, AbstractDivergence | InformationVariance)
        if not invariant or len(kinds) > 1 or None in kinds:
            return None
        return evaluate(functional, *(d.base for d in operands if isinstance(d, Transformed)))
