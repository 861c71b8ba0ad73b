"""Distributions over a finite set of outcomes, tagged by what the numbers are."""

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

from .._kernel.categorical import log_softmax, softmax
from .base import AbstractOperand, Check, Shape, field, is_prefix_leaf, only_stratum, widen


class AbstractDiscrete(AbstractOperand):
    """A distribution over the outcomes `0 .. V-1`; the class axis stands last."""

    axis_name: eqx.AbstractVar[str | None]
    reparameterized: ClassVar[bool] = False
    event_shape: ClassVar[Shape] = ()
    normalized: ClassVar[bool] = True

    @abc.abstractmethod
    def mass(self, num_classes: int | None) -> Float[Array, "*batch V"]:
        """The masses; `num_classes` is what the other operand has, for those that do not know."""

    @abc.abstractmethod
    def log_mass(self, num_classes: int | None) -> Float[Array, "*batch V"]:
        """Their logarithms, `-inf` at zero, with finite derivatives everywhere."""

    @property
    @abc.abstractmethod
    def num_outcomes(self) -> int | None:
        """`V`, or None where it is not known."""

    def log_prob(self, x: Int[Array, "..."]) -> Float[Array, "..."]:
        r"""$\log p(x)$ at integer outcomes `x` of shape `[..., *batch]`."""
        log_mass = self.log_mass(None)
        x = jnp.asarray(x)
        log_mass = jnp.broadcast_to(log_mass, (*x.shape, log_mass.shape[-1]))
        return jnp.take_along_axis(log_mass, x[..., None], -1)[..., 0]

    def sample(self, key: Key[Array, ""], shape: Shape = ()) -> Int[Array, "..."]:
        """Independent outcomes, of shape `[*shape, *batch]`."""
        log_mass = self.log_mass(None)
        return jr.categorical(key, log_mass, shape=(*shape, *self.batch_shape))

    def strata(self, key: Key[Array, ""], n: int) -> tuple[Array, Array]:
        """Plain draws: one stratum of weight one."""
        weights, x = only_stratum(self.sample(key, (n,)), self.batch_shape)
        return weights.astype(self.log_mass(None).dtype), x


class Logits(AbstractDiscrete):
    """Unnormalised log-probabilities. Made by `logits`."""

    values: Float[Array, "*batch V"] = field(constraint="logits", event_ndim=1)
    where: Bool[Array, "*batch V"] | None = field(constraint="fixed", event_ndim=1, default=None)
    temperature: Float[Array, "*batch 1"] | None = field(
        constraint="fixed", event_ndim=1, default=None
    )
    axis_name: str | None = eqx.field(static=True, default=None)

    def scores(self) -> Float[Array, "*batch V"]:
        """The logits that count: widened, tempered, `-inf` where masked."""
        z = jnp.asarray(self.values)
        if self.where is not None:
            z = jnp.where(self.where, z, 0)
        z = widen(z)
        if self.temperature is not None:
            z = z / widen(self.temperature)
        return z if self.where is None else jnp.where(self.where, z, -jnp.inf)

    @property
    def batch_shape(self):
        return jnp.shape(self.values)[:-1]

    @property
    def num_outcomes(self):
        return jnp.shape(self.values)[-1]

    def mass(self, num_classes):
        return softmax(self.scores(), axis_name=self.axis_name)

    def log_mass(self, num_classes):
        return log_softmax(self.scores(), axis_name=self.axis_name)

    def value_checks(self):
        scores = self.scores()
        checks = [
            Check(jnp.isnan(scores), "logits: NaN outside the mask"),
            Check(scores == jnp.inf, "logits: +inf is not a logit"),
        ]
        if self.temperature is not None:
            checks.append(Check(~(self.temperature > 0), "logits: temperature must be positive"))
        return checks


class Probs(AbstractDiscrete):
    """Probability vectors. Made by `probs`."""

    values: Float[Array, "*batch V"] = field(constraint="simplex", event_ndim=1)
    where: Bool[Array, "*batch V"] | None = field(constraint="fixed", event_ndim=1, default=None)
    axis_name: str | None = eqx.field(static=True, default=None)

    @property
    def batch_shape(self):
        return jnp.shape(self.values)[:-1]

    @property
    def num_outcomes(self):
        return jnp.shape(self.values)[-1]

    def mass(self, num_classes):
        return _masked(self.values, self.where, 0.0)

    def log_mass(self, num_classes):
        return _log(self.mass(num_classes))

    def value_checks(self):
        mass = self.mass(None)
        return [*_mass_checks("probs", mass), _sum_check("probs", mass, self.values)]


class LogProbs(AbstractDiscrete):
    """Normalised log-probabilities. Made by `log_probs`."""

    values: Float[Array, "*batch V"] = field(constraint="logits", event_ndim=1)
    where: Bool[Array, "*batch V"] | None = field(constraint="fixed", event_ndim=1, default=None)
    axis_name: str | None = eqx.field(static=True, default=None)

    @property
    def batch_shape(self):
        return jnp.shape(self.values)[:-1]

    @property
    def num_outcomes(self):
        return jnp.shape(self.values)[-1]

    def mass(self, num_classes):
        return jnp.exp(self.log_mass(num_classes))

    def log_mass(self, num_classes):
        return _masked(self.values, self.where, -jnp.inf)

    def value_checks(self):
        mass = self.mass(None)
        nan = Check(jnp.isnan(mass), "log_probs: NaN outside the mask")
        return [nan, _sum_check("log_probs", mass, self.values)]


class Masses(AbstractDiscrete):
    """A positive measure: its total is part of its meaning. Made by `masses`."""

    values: Float[Array, "*batch V"] = field(constraint="positive", event_ndim=1)
    where: Bool[Array, "*batch V"] | None = field(constraint="fixed", event_ndim=1, default=None)
    axis_name: str | None = eqx.field(static=True, default=None)

    @property
    def batch_shape(self):
        return jnp.shape(self.values)[:-1]

    @property
    def num_outcomes(self):
        return jnp.shape(self.values)[-1]

    def mass(self, num_classes):
        return _masked(self.values, self.where, 0.0)

    def log_mass(self, num_classes):
        return _log(self.mass(num_classes))

    def value_checks(self):
        return _mass_checks("masses", self.mass(None))


class Labels(AbstractDiscrete):
    """Observed classes: one-hot distributions, smoothed if wanted. Made by `labels`."""

    values: Int[Array, "*batch"] = field(constraint="fixed")
    smoothing: Float[Array, ""] | None = field(constraint="fixed", default=None)
    num_classes: int | None = eqx.field(static=True, default=None)
    ignore: int | None = eqx.field(static=True, default=None)
    axis_name: str | None = eqx.field(static=True, default=None)

    @property
    def batch_shape(self):
        return jnp.shape(self.values)

    @property
    def num_outcomes(self):
        return self.num_classes

    def ignored(self) -> Bool[Array, "*batch"]:
        """Which rows are padding."""
        if self.ignore is None:
            return jnp.zeros(self.batch_shape, bool)
        return jnp.asarray(self.values) == self.ignore

    def out_of_range(self, num_classes: int) -> Bool[Array, "*batch"]:
        """Which rows name no class."""
        y = jnp.asarray(self.values)
        return ((y < 0) | (y >= num_classes)) & ~self.ignored()

    def mass(self, num_classes):
        size = self.num_classes if num_classes is None else num_classes
        if size is None:
            raise ValueError("labels: the number of classes is not known; give `num_classes=`.")
        # Weakly typed where `smoothing` is a Python number: the other operand decides the dtype.
        rest = widen(0.0 if self.smoothing is None else self.smoothing) / size
        hot = jax.nn.one_hot(self.values, size, dtype=bool)
        mass = jnp.where(hot, 1 - (size - 1) * rest, rest)
        mass = jnp.where(self.ignored()[..., None], 0.0, mass)
        return jnp.where(self.out_of_range(size)[..., None], jnp.nan, mass)

    def log_mass(self, num_classes):
        return _log(self.mass(num_classes))

    def value_checks(self):
        if self.num_classes is None:
            return []
        return [Check(self.out_of_range(self.num_classes), "labels: a label is out of range")]


def probs(
    p: Any, *, axis: int = -1, where: Any = None, axis_name: str | None = None, check: bool = False
) -> Probs:
    r"""Tags `p` as probability vectors: non-negative, summing to 1 over `axis`.

    Args:
        p: probabilities, `[..., V, ...]`. Never renormalised.
        axis: the class axis; it is moved last.
        where: mask that broadcasts to `p`; masked outcomes have mass 0 (and may hold NaN).
        axis_name: the mesh axis that the class axis is split over, inside `shard_map`.
        check: raise at run time on negative or NaN entries and rows that do not sum to 1 within
            rounding (one pass over `p`, and a device sync when not jitted).

    Returns:
        An operand of batch shape `p.shape` without `axis`. `probs(0)` and the like serve as prefix
        trees in `in_axes` and `in_specs`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])):.6f}")
        0.143841
    """
    p, where = _arrange("probs", p, axis, where)
    return _validated(Probs(values=p, where=where, axis_name=axis_name), check)


def log_probs(
    lp: Any, *, axis: int = -1, where: Any = None, axis_name: str | None = None, check: bool = False
) -> LogProbs:
    r"""Tags `lp` as normalised log-probabilities. Arguments as for `probs`.

    Example:
        >>> import jax, jaxdiv as jd
        >>> p = jd.log_probs(jax.nn.log_softmax(jax.numpy.array([1.0, 0.0])))
        >>> print(f"{jd.entropy(p):.6f}")
        0.582203
    """
    lp, where = _arrange("log_probs", lp, axis, where)
    return _validated(LogProbs(values=lp, where=where, axis_name=axis_name), check)


def masses(
    m: Any, *, axis: int = -1, where: Any = None, axis_name: str | None = None, check: bool = False
) -> Masses:
    r"""Tags `m` as a positive measure, whose total need not be 1. Arguments as for `probs`.

    `kl` of two measures is the generalised form $\sum p \log(p/q) - p + q$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.masses([2.0, 0.0]), jd.masses([1.0, 1.0])):.6f}")
        1.386294
    """
    m, where = _arrange("masses", m, axis, where)
    return _validated(Masses(values=m, where=where, axis_name=axis_name), check)


def logits(
    z: Any,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = None,
    axis_name: str | None = None,
    check: bool = False,
) -> Logits:
    r"""Tags `z` as logits: $p = \mathrm{softmax}(z / T)$, taken inside, never by the caller.

    Args:
        z: logits, `[..., V, ...]`; `-inf` is probability 0.
        axis: the class axis; it is moved last.
        where: mask that broadcasts to `z`; masked outcomes have logit `-inf`: the conditional
            distribution on the rest. Masked entries may hold NaN.
        temperature: $T > 0$, broadcasting to the batch axes.
        axis_name: the mesh axis that the class axis is split over, inside `shard_map`.
        check: raise at run time on NaN outside the mask, `+inf` and a temperature not above 0.

    Returns:
        An operand of batch shape `z.shape` without `axis`. `logits(0)` and the like serve as prefix
        trees in `in_axes` and `in_specs`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.entropy(jd.logits([0.0, 0.0]), base=2):.1f}")
        1.0
    """
    z, where = _arrange("logits", z, axis, where)
    if not is_prefix_leaf(z) and temperature is not None:
        shape = jnp.broadcast_shapes(jnp.shape(temperature), z.shape[:-1])
        if shape != z.shape[:-1]:
            raise ValueError(
                f"logits: temperature of shape {jnp.shape(temperature)} does not broadcast to the "
                f"batch shape {z.shape[:-1]}."
            )
        temperature = jnp.broadcast_to(jnp.asarray(temperature), shape)[..., None]
    return _validated(Logits(values=z, where=where, temperature=temperature, axis_name=axis_name), check)


def labels(
    y: Any,
    *,
    num_classes: int | None = None,
    smoothing: Any = None,
    ignore: int | None = None,
    check: bool = False,
) -> Labels:
    r"""Tags `y` as observed classes: one-hot distributions, `labels(y[B])` against `[B, V]`.

    Args:
        y: integers in `[0, V)`. Any other value gives NaN.
        num_classes: $V$, where the other operand does not tell it.
        smoothing: $s$ gives the distribution $(1 - s)$ one-hot $+ s / V$.
        ignore: a label that marks padding: value 0 and gradient 0.
        check: raise at run time on labels out of range (needs `num_classes`).

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.cross_entropy(jd.labels(0), jd.probs([0.25, 0.75]), base=2):.1f}")
        2.0
    """
    if not is_prefix_leaf(y):
        y = jnp.asarray(y)
        if not jnp.issubdtype(y.dtype, jnp.integer):
            raise TypeError(
                f"labels: expected integers, got {y.dtype}. Tag soft labels with `probs(...)`."
            )
    if check and num_classes is None:
        raise ValueError("labels: check=True needs `num_classes=`.")
    return _validated(Labels(values=y, smoothing=smoothing, num_classes=num_classes, ignore=ignore), check)


def _arrange(name: str, x: Any, axis: int, where: Any) -> tuple[Any, Any]:
    """The class axis last, the mask broadcast; leaves of prefix trees pass untouched."""
    if is_prefix_leaf(x):
        return x, where
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating) and not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}.")
    if x.ndim == 0:
        raise ValueError(f"{name}: expected at least one axis (the classes), got a scalar.")
    if where is not None:
        where = jnp.asarray(where)
        if where.dtype != bool:
            raise TypeError(f"{name}: where must be a boolean mask, got {where.dtype}.")
        if jnp.broadcast_shapes(where.shape, x.shape) != x.shape:
            raise ValueError(
                f"{name}: where of shape {where.shape} does not broadcast to {x.shape}."
            )
        where = jnp.moveaxis(jnp.broadcast_to(where, x.shape), axis, -1)
    return jnp.moveaxis(x, axis, -1), where


def _validated(operand: Any, check: bool) -> Any:
    """The operand, with run-time errors tied to its values where `check` asks for them."""
    if check:
        for bad, message in operand.value_checks():
            values = eqx.error_if(operand.values, bad, message)
            operand = eqx.tree_at(lambda o: o.values, operand, values)
    return operand


def _masked(values: ArrayLike, where: Array | None, fill: float) -> Array:
    if where is not None:
        values = jnp.where(where, jnp.asarray(values), jnp.asarray(fill, jnp.result_type(values)))
    return widen(values)


def _log(mass: Array) -> Array:
    positive = mass > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, mass, 1.0)), _below(mass))


def _below(mass: Array) -> Array:
    """The logarithm of what is not positive: -inf at zero, NaN below and at NaN."""
    return jnp.where(mass == 0, -jnp.inf, jnp.nan)


def _mass_checks(name: str, mass: Array) -> list[Check]:
    return [
        Check(jnp.isnan(mass), f"{name}: NaN outside the mask"),
        Check(mass < 0, f"{name}: negative mass"),
    ]


def _sum_check(name: str, mass: Array, given: ArrayLike) -> Check:
    """A row may be off 1 by the rounding of its entries as they were given."""
    dtype = jnp.result_type(given)
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else mass.dtype
    tolerance = 4 * float(jnp.finfo(dtype).eps) * mass.shape[-1] ** 0.5
    off = abs(jnp.sum(mass, -1) - 1)
    return Check(~(off <= tolerance), f"{name}: a row does not sum to 1 (tag measures `masses`)")
