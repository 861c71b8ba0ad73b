"""A distribution known by its log-density only."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import NoClosedFormError
from .base import AbstractDistribution, Pieces, field, widen


class LogDensity(AbstractDistribution):
    r"""A density given by `log_prob(x, *args)`, normalised or not.

    Args:
        log_prob: the log-density of one outcome, of shape `event_shape`; a scalar. The function is
            static: hoist it, and pass data by `args`, so that new data does not retrace.
        args: what it is called with; traced.
        event_shape: the shape of one outcome.
        support: the interval (of each coordinate) outside which the density is zero.
        points: places between which the density is smooth, `[M]` or `[M, D]`, for quadrature: a
            handful that bracket the modes. Needed where the other operand has none.
        normalized: whether it integrates to one. If not, only `kl` and `cross_entropy` accept it,
            as $Q$, and `kl` is $\mathrm{KL} - \log Z$; `Quadrature(normalize=True)` gives KL.

    Example:
        >>> import jaxdiv as jd
        >>> q = jd.LogDensity(lambda x: -0.5 * x**2)
        >>> value = jd.kl(jd.Normal(0.0, 1.0), q, estimator=jd.Quadrature())
        >>> print(f"{value:.6f}")  # minus the logarithm of the square root of 2 pi
        -0.918939
    """

    function: Callable[..., Array] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    interval: tuple[float, float] = eqx.field(static=True)
    sums_to_one: bool = eqx.field(static=True)
    args: PyTree[ArrayLike] = field(constraint="fixed")
    points: Float[Array, "M ..."] | None = field(constraint="fixed")
    origin: Float[ArrayLike, "..."] = field(constraint="fixed")
    reparameterized: ClassVar[bool] = False
    integer: ClassVar[bool] = False

    def __init__(
        self,
        log_prob: Callable[..., Array],
        args: PyTree[ArrayLike] = (),
        *,
        event_shape: tuple[int, ...] = (),
        support: tuple[float, float] = (-float("inf"), float("inf")),
        points: Any = None,
        normalized: bool = False,
    ):
        if not callable(log_prob):
            raise TypeError(f"LogDensity: log_prob must be a function, got {type(log_prob)}.")
        if not support[0] < support[1]:
            raise ValueError(f"LogDensity: support must be (low, high), got {support}.")
        self.function = log_prob
        self.args = args
        self.shape = event_shape
        self.interval = support
        self.points = points
        self.sums_to_one = normalized
        self.origin = 0.0

    @property
    def batch_shape(self):
        return ()

    @property
    def event_shape(self):
        return self.shape

    @property
    def normalized(self):
        return self.sums_to_one

    @property
    def support(self):
        return self.interval

    @property
    def mean(self):
        raise NoClosedFormError("LogDensity: its mean is not known; integrate, or draw from P.")

    @property
    def variance(self):
        raise NoClosedFormError("LogDensity: its variance is not known; integrate, or draw from P.")

    def log_prob(self, x):
        x = widen(x) + self.origin
        low, high = self.support
        inside = (x >= low) & (x <= high)
        if math.isfinite(low) or math.isfinite(high):
            x = jnp.where(inside, x, _inner_point(low, high))
        rank = len(self.event_shape)
        lead = x.shape[: x.ndim - rank]
        values = jax.vmap(lambda y: self.function(y, *self.args))(
            x.reshape(-1, *x.shape[x.ndim - rank :])
        )
        if values.ndim != 1:
            raise ValueError(
                f"LogDensity: log_prob must return a scalar for one outcome of shape "
                f"{self.event_shape}, got shape {values.shape[1:]}."
            )
        inside = jnp.all(inside, tuple(range(x.ndim - rank, x.ndim)))
        return jnp.where(inside, values.reshape(lead), -jnp.inf)

    def sample(self, key, shape=()):
        raise TypeError(
            "LogDensity has no sampler: use it as Q, or give `estimator=Quadrature()` and `points`."
        )

    def strata(self, key, n):
        return self.sample(key, (n,))

    def translate(self, by):
        return eqx.tree_at(lambda d: d.origin, self, self.origin + by)

    def pieces(self):
        if self.points is None:
            return None
        points = widen(self.points).reshape(len(jnp.asarray(self.points)), -1) - self.origin
        none = points[:0]
        return Pieces(none, none[..., None] * none[..., None, :], points, open_tails=True)

    def value_checks(self):
        return []


def _inner_point(low: float, high: float) -> float:
    """Somewhere inside, for the unused half of a double `where`."""
    if math.isfinite(low) and math.isfinite(high):
        return 0.5 * (low + high)
    return low + 1.0 if math.isfinite(low) else high - 1.0
