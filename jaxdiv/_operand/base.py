"""What a functional is taken *of*: the abstract operands."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

Shape = tuple[int, ...]


def field(*, constraint: str = "real", event_ndim: int = 0, **kwargs: Any) -> Any:
    """A dataclass field that says which values it may take.

    Args:
        event_ndim: how many of its last axes belong to one outcome; those before are batch axes.
        constraint: one of `"real"`, `"positive"`, `"cholesky"`, `"positive_definite"`, `"simplex"`,
            `"unit_interval"`, `"sphere"`, `"logits"` (defined up to an additive constant),
            `"fixed"` (not a parameter).
        **kwargs: as for `equinox.field`.
    """
    return eqx.field(metadata={"constraint": constraint, "event_ndim": event_ndim}, **kwargs)


def floating(*values: Any) -> tuple[Array, ...]:
    """The arguments as floating arrays of one dtype, widened; Python numbers are weak."""
    values = tuple(v if isinstance(v, (int, float)) else _widen_half(v) for v in values)
    dtype = jnp.result_type(*values)
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return tuple(jnp.asarray(value, dtype) for value in values)


def widen(x: ArrayLike) -> Array:
    """Half precision as float32 (exact), integers as the default float, anything else as it is."""
    x = _widen_half(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def _widen_half(x: ArrayLike) -> Array:
    x = jnp.asarray(x)
    half = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    return x.astype(jnp.float32) if half else x


class Check(NamedTuple):
    """A condition that legal values never meet, and the words for it and for where it is met."""

    bad: Bool[Array, "..."]
    message: str
    place: str = "at index"

    @property
    def first(self) -> Int[Array, " ndim"]:
        """The index of the first entry that is bad."""
        index = jnp.unravel_index(jnp.argmax(self.bad), self.bad.shape)
        return jnp.stack(index) if self.bad.ndim else jnp.zeros(0, int)

    def words(self, index: object) -> str:
        """What is wrong, and where it is met first."""
        return f"{self.message}, first {self.place} {index}"


class AbstractOperand(eqx.Module):
    """Anything that can stand for $P$ or $Q$ in $D(P, Q)$."""

    @property
    @abc.abstractmethod
    def batch_shape(self) -> Shape:
        """The axes that the result keeps."""

    @abc.abstractmethod
    def value_checks(self) -> list[Check]:
        """What `check=True` and `checked` look at."""


Operand = AbstractOperand | Any  # or what `as_distribution` makes one of


class AbstractDistribution(AbstractOperand):
    """An operand with a density on the real line or on $R^D$.

    A family declares its fields with `field(constraint=...)` and implements the members below;
    its closed forms stand in the same file, registered with `rule`.
    """

    @property
    @abc.abstractmethod
    def reparameterized(self) -> bool:
        """Whether `sample` is differentiable in every parameter."""

    @property
    @abc.abstractmethod
    def integer(self) -> bool:
        """Whether the outcomes are integers: the density is a mass then."""

    @property
    @abc.abstractmethod
    def event_shape(self) -> Shape:
        """The shape of one outcome."""

    @property
    @abc.abstractmethod
    def normalized(self) -> bool:
        """Whether the density integrates to one."""

    @property
    @abc.abstractmethod
    def support(self) -> tuple[ArrayLike, ArrayLike]:
        """The interval (of each coordinate) outside which the density is zero.

        Ends that are Python numbers are the same for every member of the family.
        """

    @property
    @abc.abstractmethod
    def mean(self) -> Float[Array, "*batch_event"]:
        """$E[X]$: infinite or NaN where it is infinite or does not exist."""

    @property
    @abc.abstractmethod
    def variance(self) -> Float[Array, "*batch_event"]:
        """The variance of each coordinate: infinite or NaN as the mean is."""

    @abc.abstractmethod
    def log_prob(self, x: Float[ArrayLike, "*sample_batch_event"]) -> Float[Array, "..."]:
        r"""$\log p(x)$ for `x` of shape `[..., *batch, *event]`."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], shape: Shape = ()) -> Float[Array, "..."]:
        """Independent draws, of shape `[*shape, *batch, *event]`."""

    @abc.abstractmethod
    def strata(self, key: Key[Array, ""], n: int) -> tuple[Array, Array]:
        """About `n` draws in strata: weights `[S, *batch]` and draws `[S, m, *batch, *event]`."""

    @abc.abstractmethod
    def translate(self, by: Float[Array, "*batch_event"]) -> "AbstractDistribution":
        """The distribution of $X - $ `by`."""

    @abc.abstractmethod
    def pieces(self) -> "Pieces | None":
        """Where the density varies, and how fast, for quadrature; None where it is not known."""


class Pieces(eqx.Module):
    """Places and length scales of a density: quadrature lays its panels by them.

    `centres` is `[K, *batch, D]` and `scale_trils` `[K, *batch, D, D]`, for panels at multiples of
    the scales; `points`, `[M, *batch, D]`, are break points as they stand. Whether there may be
    mass beyond them all is said by `open_tails`.
    """

    centres: Float[Array, "K *batch D"]
    scale_trils: Float[Array, "K *batch D D"]
    points: Float[Array, "M *batch D"]
    open_tails: bool = eqx.field(static=True, default=False)


def pieces_of(d: Any) -> Pieces | None:
    """None also where quadrature has nothing to integrate: over integers, spheres and matrices."""
    if not isinstance(d, AbstractDistribution):
        return None
    try:
        return d.pieces()
    except TypeError:
        return None


class AbstractComposite(AbstractOperand):
    """An operand made of others: it reduces a functional to theirs before any rule is tried."""

    @abc.abstractmethod
    def reduce(self, evaluate: Callable[..., Array], functional: Any, *operands: Any) -> Any:
        """The value by way of `evaluate` on the parts, or None where it does not reduce."""


class AbstractWrapper(AbstractComposite, AbstractDistribution):
    """A distribution on the real line or on $R^D$ that is made of others."""


def only_stratum(x: Array, batch_shape: Shape) -> tuple[Array, Array]:
    """Plain draws `[n, *batch, *event]` as a single stratum of weight one."""
    return jnp.ones((1, *batch_shape), x.dtype), x[None]


def lesser(a: Any, b: Any) -> Any:
    """The smaller of two ends of a support; a Python number where both are."""
    return min(a, b) if _are_numbers(a, b) else jnp.minimum(*floating(a, b))


def greater(a: Any, b: Any) -> Any:
    """The larger of two ends of a support; a Python number where both are."""
    return max(a, b) if _are_numbers(a, b) else jnp.maximum(*floating(a, b))


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(v, (int, float)) for v in values)


def demand(what: str, x: Any, ok: Callable[[float], bool], remedy: str) -> None:
    """Raises where a Python number is not `ok`; the values of arrays are not looked at."""
    if isinstance(x, (int, float)) and not ok(x):
        raise ValueError(f"{what} must be {remedy}, got {x}.")


def broadcast_shapes(*arrays: Any) -> Shape:
    """The shape that the arguments broadcast to."""
    return jnp.broadcast_shapes(*(jnp.shape(a) for a in arrays))


def fits(shape: Shape, target: Shape) -> bool:
    """Whether `shape` broadcasts to `target`."""
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(a in (1, b) for a, b in pairs)


def is_prefix_leaf(x: Any) -> bool:
    """Whether `x` stands for an axis or a sharding in a prefix tree, and not for data."""
    return x is None or isinstance(x, (int, jax.sharding.PartitionSpec, jax.sharding.Sharding))
