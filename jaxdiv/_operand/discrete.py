"""Distributions over a finite set of outcomes, tagged by what the numbers are."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

from .._kernel.categorical import log_softmax, softmax
from .._special import log_mass
from .base import AbstractOperand, Check, Shape, field, only_stratum, widen
from .validation import check_under_checked


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
        log_p = self.log_mass(None)
        shape = jnp.broadcast_shapes(jnp.shape(x), log_p.shape[:-1])
        log_p = jnp.broadcast_to(log_p, (*shape, log_p.shape[-1]))
        x = jnp.broadcast_to(x, shape)
        return jnp.take_along_axis(log_p, x[..., None], -1)[..., 0]

    def sample(self, key: Key[Array, ""], shape: Shape = ()) -> Int[Array, "..."]:
        """Independent outcomes, of shape `[*shape, *batch]`."""
        log_p = self.log_mass(None)
        return jr.categorical(key, log_p, shape=(*shape, *self.batch_shape))

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
            zero = z == -jnp.inf  # whatever the temperature: no slope in it
            temperature = jnp.asarray(self.temperature)
            if not jnp.issubdtype(temperature.dtype, jnp.floating):
                temperature = temperature.astype(z.dtype)
            z = jnp.where(zero, -jnp.inf, jnp.where(zero, 0.0, z) / widen(temperature))
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
        checks = []
        if self.temperature is not None:
            bad = ~(jnp.asarray(self.temperature) > 0)
            checks.append(_row_check(bad, "logits: temperature must be positive"))
        scores = self.scores()
        checks.append(_row_check(jnp.isnan(scores), "logits: NaN outside the mask"))
        checks.append(_row_check(scores == jnp.inf, "logits: +inf is not a logit"))
        if self.axis_name is None:  # else a row is split over devices
            checks.append(self._softmax_check())
        return checks

    def _softmax_check(self) -> Check:
        """Probabilities, of which softmax would be taken again.

        In every row: of two classes, one row of logits in a million is a probability vector by
        chance. Rows with no choice do not count.
        """
        z = _masked(self.values, self.where, 0.0)
        choice = jnp.sum(self._kept(), -1) > 1
        # Zeros are logits in any type.
        near = _off_one(z) <= min(sum_tolerance(self.values, z), 0.1)
        vector = jnp.all((z >= 0) & (z <= 1), -1) & near
        return Check(
            jnp.all(vector | ~choice) & jnp.any(choice),
            "logits: every row is a probability vector, of which softmax would be taken twice (tag "
            "it `probs`; a constant added to logits that look like one changes nothing)",
        )

    def _kept(self) -> Bool[Array, "*batch V"]:
        return jnp.ones(jnp.shape(self.values), bool) if self.where is None else self.where


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
        return log_mass(self.mass(num_classes))

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
        nan = _row_check(jnp.isnan(mass), "log_probs: NaN outside the mask")
        return [nan, _sum_check("log_probs", mass, self.values)]


class Masses(AbstractDiscrete):
    """A positive measure: its total is part of its meaning. Made by `masses`."""

    normalized: ClassVar[bool] = False

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
        return log_mass(self.mass(num_classes))

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
        """Which rows name no class; an error under `checked`."""
        bad = self._beyond(num_classes)
        check_under_checked(self._range_check(bad))
        return bad

    def _range_check(self, bad: Bool[Array, "*batch"]) -> Check:
        return Check(bad, "labels: a label is out of range", "in row")

    def _beyond(self, num_classes: int) -> Bool[Array, "*batch"]:
        y = jnp.asarray(self.values)
        if y.dtype.itemsize < 4:  # the number of classes may not fit the labels' own type
            y = y.astype(jnp.int32)
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
        return log_mass(self.mass(num_classes))

    def value_checks(self):
        if self.num_classes is None:
            return []
        return [self._range_check(self._beyond(self.num_classes))]


def _masked(values: ArrayLike, where: Array | None, fill: float) -> Array:
    if where is not None:
        values = jnp.where(where, jnp.asarray(values), jnp.asarray(fill, jnp.result_type(values)))
    return widen(values)


def _mass_checks(name: str, mass: Array) -> list[Check]:
    return [
        _row_check(jnp.isnan(mass), f"{name}: NaN outside the mask"),
        _row_check(mass < 0, f"{name}: negative mass"),
    ]


def _sum_check(name: str, mass: Array, given: ArrayLike) -> Check:
    words = f"{name}: a row does not sum to 1 (tag measures `masses`)"
    return Check(~(_off_one(mass) <= sum_tolerance(given, mass)), words, "in row")


def _off_one(mass: Array) -> Array:
    return abs(jnp.sum(mass, -1) - 1)


def sum_tolerance(given: ArrayLike, mass: Array) -> float:
    """What a row may be off 1 by the rounding of its entries as they were given."""
    dtype = jnp.result_type(given)
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else mass.dtype
    return 4 * float(jnp.finfo(dtype).eps) * mass.shape[-1] ** 0.5


def _row_check(bad: Array, message: str) -> Check:
    return Check(jnp.any(bad, -1), message, "in row")
