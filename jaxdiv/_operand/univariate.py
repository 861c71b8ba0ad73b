"""What families of one number have in common, over the line and over the integers."""

import abc
import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Float, Key

from .agree import only_where_equal
from .base import (
    AbstractDistribution,
    AbstractWrapper,
    Check,
    Pieces,
    Shape,
    broadcast_shapes,
    field,
    floating,
    only_stratum,
)

_WORDS = {"positive": "must be positive", "unit_interval": "must lie in [0, 1]"}


class AbstractUnivariate(AbstractDistribution):
    """A family on the line whose fields are all numbers, one a parameter.

    The fields keep the shapes that they were given; the batch shape is their broadcast.
    """

    @property
    def batch_shape(self) -> Shape:
        return broadcast_shapes(*self._given().values())

    @property
    def event_shape(self) -> Shape:
        return ()

    @property
    def normalized(self) -> bool:
        return True

    def _given(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def parameters(self) -> tuple[Array, ...]:
        """The fields as floating arrays of one dtype, in order, broadcast."""
        return tuple(jnp.broadcast_arrays(*floating(*self._given().values())))

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def value_checks(self):
        name, checks = type(self).__name__, []
        for f in dataclasses.fields(self):
            words = _WORDS.get(f.metadata.get("constraint", ""))
            if words is not None and getattr(self, f.name) is not None:
                (x,) = floating(getattr(self, f.name))
                ok = x > 0 if words == "must be positive" else (x >= 0) & (x <= 1)
                checks.append(Check(~ok, f"{name}: {f.name} {words}"))
        return checks


class AbstractContinuous(AbstractUnivariate):
    """With a density: on the line, a half-line or an interval."""

    integer: ClassVar[bool] = False


class AbstractInteger(AbstractUnivariate):
    """With a mass function on the integers; `log_prob` is -inf between them."""

    integer: ClassVar[bool] = True
    reparameterized: ClassVar[bool] = False

    @abc.abstractmethod
    def log_mass(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logarithm of the mass at whole numbers within the support."""

    def log_prob(self, x):
        x, *_ = floating(x, *self._given().values())
        low, high = self.support
        inside = (x >= low) & (x <= high) & (x == jnp.round(x))
        first = jnp.broadcast_to(jnp.asarray(low, x.dtype), x.shape)
        return jnp.where(inside, self.log_mass(jnp.where(inside, x, first)), -jnp.inf)

    def translate(self, by):
        raise TypeError(self._no_integral())

    def pieces(self):
        raise TypeError(self._no_integral())

    def _no_integral(self) -> str:
        return (
            f"{type(self).__name__} lives on the integers, where Quadrature has nothing to "
            "integrate: use the closed form, or MonteCarlo(n, gradient=Score())."
        )


class AbstractLocationScale(AbstractContinuous):
    r"""$\mu + \sigma Z$ for a $Z$ of fixed (or given) shape."""

    loc: eqx.AbstractVar[Float[Any, "..."]]
    scale: eqx.AbstractVar[Float[Any, "..."]]
    reparameterized: ClassVar[bool] = True
    heavy_tails: eqx.AbstractClassVar[bool]  # so that a power of |z| bounds the density

    @abc.abstractmethod
    def standard_log_prob(self, z: Float[Array, "..."]) -> Float[Array, "..."]:
        """The log-density of $Z$."""

    @abc.abstractmethod
    def standard_sample(self, key: Key[Array, ""], shape: Shape, dtype: Any) -> Array:
        """Draws of $Z$."""

    @property
    def support(self) -> tuple[ArrayLike, ArrayLike]:
        return -math.inf, math.inf

    def location_scale(self) -> tuple[Array, Array]:
        """Both as floating arrays of the dtype of all fields."""
        values = dict(zip(self._given(), self.parameters(), strict=True))
        return values["loc"], values["scale"]

    def log_prob(self, x):
        x, loc, scale = floating(x, *self.location_scale())
        return self.standard_log_prob((x - loc) / scale) - jnp.log(scale)

    def sample(self, key, shape=()):
        loc, scale = self.location_scale()
        return loc + scale * self.standard_sample(key, (*shape, *self.batch_shape), loc.dtype)

    def translate(self, by):
        return dataclasses.replace(self, loc=jnp.asarray(self.loc) - by)

    def pieces(self):
        loc, scale = self.location_scale()
        scales = jnp.stack([scale, 4 * scale])[..., None, None]
        centres = jnp.stack([loc, loc])[..., None]
        points = centres[:0]
        if self.heavy_tails:
            far = jnp.asarray([s * 4.0**k for k in range(2, 14) for s in (-1, 1)], loc.dtype)
            points = (loc + jnp.multiply.outer(far, scale))[..., None]
        return Pieces(centres, scales, points, self.heavy_tails)


class Shifted(AbstractWrapper):
    r"""The distribution of $X + c$.

    An entropy is that of $X$, and a divergence between two numbers with the same $c$ that of the
    bases (with others there is no closed form, and under `jit`, which cannot tell, it is NaN).

    Args:
        base: the distribution of $X$.
        shift: $c$, of the event's shape or with batch axes before it.

    Example:
        >>> import jaxdiv as jd
        >>> waiting = jd.Shifted(jd.Exponential(2.0), 1.0)
        >>> print(f"{waiting.mean:.2f} {waiting.variance:.2f}")
        1.50 0.25
    """

    base: AbstractDistribution
    shift: Float[Any, "..."] = field()

    @property
    def batch_shape(self):
        shape = jnp.shape(self.shift)
        return jnp.broadcast_shapes(
            self.base.batch_shape, shape[: len(shape) - len(self.event_shape)]
        )

    @property
    def event_shape(self):
        return self.base.event_shape

    @property
    def reparameterized(self):
        return self.base.reparameterized

    @property
    def integer(self):
        return self.base.integer

    @property
    def normalized(self):
        return self.base.normalized

    @property
    def support(self):
        low, high = self.base.support
        return tuple(x if _is_infinite(x) else sum(floating(x, self.shift)) for x in (low, high))

    @property
    def mean(self):
        return sum(floating(self.base.mean, self.shift))

    @property
    def variance(self):
        return jnp.broadcast_to(self.base.variance, (*self.batch_shape, *self.event_shape))

    def log_prob(self, x):
        x, shift = floating(x, self.shift)
        return self.base.log_prob(x - shift)

    def sample(self, key, shape=()):
        # Every element of the batch has a draw of its own, where only the shift has the axis too.
        extra = self.batch_shape[: len(self.batch_shape) - len(self.base.batch_shape)]
        draws, shift = floating(self.base.sample(key, (*shape, *extra)), self.shift)
        return draws + shift

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        shift, by = floating(self.shift, by)
        return Shifted(self.base, shift - by)

    def pieces(self):
        inner = self.base.pieces()
        if inner is None:
            return None
        shift = jnp.asarray(self.shift)[..., None] if not self.event_shape else self.shift
        return Pieces(
            inner.centres + shift, inner.scale_trils, inner.points + shift, inner.open_tails
        )

    def value_checks(self):
        return self.base.value_checks()

    def reduce(self, evaluate, functional, *operands):
        shifted = [d for d in operands if isinstance(d, Shifted)]
        if len(shifted) < len(operands) or (self.event_shape and len(operands) == 2):
            return None
        value = evaluate(functional, *(d.base for d in shifted))
        value = jnp.broadcast_to(value, jnp.broadcast_shapes(*(d.batch_shape for d in shifted)))
        return only_where_equal(shifted[0].shift, shifted[-1].shift, value)


def _is_infinite(x: ArrayLike) -> bool:
    return isinstance(x, float) and math.isinf(x)


def on_half_line(centre: Array, scale: Array, *, heavy_tails: bool = False) -> Pieces:
    """Pieces of a density on the positive numbers, with a power of x at 0 (and at infinity)."""
    steps = 4.0 ** jnp.arange(-30, 14 if heavy_tails else 5, dtype=centre.dtype)
    return _by_ends(centre, scale, [jnp.multiply.outer(steps, centre)], heavy_tails)


def on_unit_interval(centre: Array, scale: Array) -> Pieces:
    """Pieces of a density on (0, 1), with powers at both ends."""
    steps = 4.0 ** -jnp.arange(1, 30 if centre.dtype == jnp.float64 else 13, dtype=centre.dtype)
    ends = jnp.multiply.outer(steps, jnp.ones_like(centre))
    return _by_ends(centre, scale, [ends * centre, 1 - ends * (1 - centre)], False)


def _by_ends(centre: Array, scale: Array, points: list[Array], heavy_tails: bool) -> Pieces:
    centres, scales = jnp.stack([jnp.zeros_like(centre), centre]), jnp.stack([scale, scale])
    cuts = jnp.concatenate(points)
    return Pieces(centres[..., None], scales[..., None, None], cuts[..., None], heavy_tails)


def inside_support(
    x: Array, low: ArrayLike, high: ArrayLike, instead: ArrayLike
) -> tuple[Array, Array]:
    """Whether `x` lies strictly within, and `x` with something harmless elsewhere."""
    inside = (x > low) & (x < high)
    return inside, jnp.where(inside, x, instead)


def uniform(key: Key[Array, ""], shape: Shape, dtype: Any) -> Array:
    """Draws from the open interval (0, 1)."""
    return jr.uniform(key, shape, dtype, minval=jnp.finfo(dtype).tiny)
