"""Reverse KL of any family by stochastic gradients: flows, and data that come in batches."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._estimator.gradients import AbstractGradient, Pathwise
from .._estimator.monte_carlo import MonteCarlo
from .._operand.log_density import LogDensity
from .algorithm import AbstractAlgorithm, Ends, Problem
from .constraint import unconstrain
from .families import MixtureOf
from .loop import advance, begin
from .modes import is_repeated, laplace_starts
from .objective import reverse_kl
from .sample_average import together
from .skip import map_unless
from .starts import Landscape, units
from .steps import lower
from .template import Given

_LEARNING_RATE = 0.02
_AT_REST = 0.02  # nats in an eighth of the steps


class StochasticGradient(AbstractAlgorithm):
    r"""Reverse KL by an optax optimiser, on fresh draws and a fresh batch of the data at each step.

    The default of a family that is a normalising flow of FlowJAX, which begins where it is given;
    a template begins at the modes, with lengths in units of the Gaussians there. The batches are
    drawn with replacement, and weigh so that the gradient has no bias; to first order about the
    mode it is that of all the data, over which the walk there and the judgement of the ends go.
    A start has settled where the mean loss of the last eighth of the steps is not below that of the
    eighth before by more than chance; what it is below by, and twice its error, is the gap.

    Args:
        optim: by default Adam, with a rate that decays from 0.02 to zero.
        num_draws: at each step.
        num_steps: all of which are taken.
        batch_size: of a `Posterior` with `log_likelihood` and `data`; by default all of them.
        gradient: as for `MonteCarlo`.
        tolerance: nats that the gap may be, to count as converged; by default the standard error of
            the value and 5e-4, together.
        max_evaluations: not used: the number of steps is fixed.

    References:
        Kucukelbir et al. 2017; for batches, Hoffman et al. 2013, and Baker et al. 2019.

    Example:
        >>> import jaxdiv as jd
        >>> by = jd.StochasticGradient(batch_size=50)  # of fit(reverse_kl(p), FullRank(), by)
        >>> print(by.quantity)
        KL(family, target) - log Z by independent draws; descended by StochasticGradient
    """

    optim: optax.GradientTransformation | None = eqx.field(static=True, default=None)
    num_draws: int = eqx.field(static=True, default=16)
    num_steps: int = eqx.field(static=True, default=5000)
    batch_size: int | None = eqx.field(static=True, default=None)
    gradient: AbstractGradient = eqx.field(static=True, default=Pathwise())
    tolerance: float | None = eqx.field(static=True, default=None)
    max_evaluations: int = eqx.field(static=True, default=10_000)
    forward: ClassVar[bool] = False
    is_exact: ClassVar[bool] = False

    def __check_init__(self):
        for name in ("num_steps", "batch_size"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"StochasticGradient: {name} must be positive, got {value!r}.")

    @property
    def quantity(self):
        return "KL(family, target) - log Z by independent draws; descended by StochasticGradient"

    def solve(self, problem, key, num_judged):
        del num_judged
        key_walk, key_run = jr.split(key)
        first, repeated, spent = self._first(problem, key_walk)
        optim = self.optim
        if optim is None:
            optim = optax.adam(optax.cosine_decay_schedule(_LEARNING_RATE, self.num_steps))
        optim = optax.with_extra_args_support(optim)
        by = MonteCarlo(self.num_draws, self.gradient, tail=False)

        def run(inputs: tuple[_First, Key[Array, ""]]) -> _Last:
            first, key = inputs
            free, rebuild = unconstrain(first.member)
            scaled = jax.tree.map(jnp.divide, free, first.unit)

            def member(scaled: PyTree) -> Any:
                return rebuild(jax.tree.map(jnp.multiply, scaled, first.unit))

            def value(scaled: PyTree, key: Key[Array, ""] | None) -> Float[Array, ""]:
                assert key is not None
                key_draws, key_batch = jr.split(key)
                target = self._target(problem, first, key_batch)
                return reverse_kl(target, by)(member(scaled), key_draws)

            dtype = problem.first.dtype
            starts, keys = jax.tree.map(lambda u: u[None], scaled), key[None]
            settings = {"num_steps": self.num_steps, "dtype": dtype, "record": False}
            carry = begin(value, optim, starts, keys, **settings)
            ends = jnp.array(0), jnp.array(self.num_steps)
            never = jnp.array(-1.0, dtype)
            carry = advance(value, optim, carry, keys, *ends, tolerance=never, longest=None)
            lane = jax.tree.map(lambda x: x[0], carry.lanes)
            return _Last(member(lane.free), carry.losses[0], lane.num_bad, lane.finite)

        last = map_unless(repeated, run, (first, jr.split(key_run, len(repeated))))
        drop, error = jax.vmap(_drop)(last.losses)
        num = len(repeated)
        return Ends(
            last.member,
            gap=jnp.maximum(drop, 0.0) + 2 * error,
            step=jnp.full(num, jnp.nan, drop.dtype),
            curvature=jnp.full(num, jnp.nan, drop.dtype),
            settled=(drop <= _AT_REST + 2 * error) & last.finite & ~repeated,
            repeated=repeated,
            num_steps=jnp.where(repeated, 0, self.num_steps).astype(jnp.int32),
            num_evaluations=spent
            + jnp.where(repeated, 0, self.num_steps * self.num_draws).astype(jnp.int32),
            num_bad=last.num_bad,
            losses=last.losses,
        )

    def _first(
        self, problem: Problem, key: Key[Array, ""]
    ) -> tuple["_First", Bool[Array, " S"], Int[Array, " S"]]:
        """Where each start begins, which are repeated, and what it took to find them."""
        template = problem.template
        if isinstance(template, Given):
            free, _ = unconstrain(template.distribution)
            unit = jax.tree.map(jnp.ones_like, free)
            only = _First(template.distribution, unit, jnp.zeros(()), problem.first, problem.first)
            none = jnp.zeros(1, jnp.int32)
            return jax.tree.map(lambda x: jnp.asarray(x)[None], only), none > 0, none
        starts = laplace_starts(problem.log_density, problem.first, problem.others, key)
        repeated, spent = is_repeated(starts), starts.num_evaluations
        if isinstance(template, MixtureOf):
            starts = together(starts, repeated, template.num_components)
            spent, repeated = jnp.sum(spent, dtype=jnp.int32)[None], jnp.zeros(1, bool)

        def one(inputs: tuple[Array, Array]) -> _First:
            loc, scale = inputs
            tril = lower(scale) if scale.ndim == 2 else jax.lax.map(lower, scale)
            member = template.member(loc, tril)
            free, _ = unconstrain(member)
            places, widths = loc.reshape(-1, loc.shape[-1]), jnp.sqrt(jnp.sum(tril**2, -1))
            widths = widths.reshape(places.shape)
            landscape = Landscape(places, widths, jnp.max(widths, 0))
            value, grad = jax.value_and_grad(problem.log_density)(places[0])
            return _First(member, units(member, free, landscape), value, grad, places[0])

        return jax.lax.map(one, (starts.loc, starts.scale)), repeated, spent

    def _target(self, problem: Problem, first: "_First", key: Key[Array, ""]) -> Any:
        """The target, or what a random batch of its data says of it."""
        if self.batch_size is None:
            return problem.target
        posterior = problem.posterior
        if posterior is None or not posterior.num_data:
            raise ValueError(
                "StochasticGradient: batch_size needs a Posterior with `log_likelihood` and "
                f"`data`, got {type(problem.target if posterior is None else posterior).__name__}."
            )
        index = jr.randint(key, (self.batch_size,), 0, posterior.num_data)
        batch = posterior.subsample(index).free()
        if isinstance(problem.template, Given):
            return batch
        here = jax.value_and_grad(batch.log_prob)(first.place)
        return LogDensity(_corrected, (batch, first, here), event_shape=batch.event_shape)


def _corrected(x: Array, batch: LogDensity, first: "_First", here: tuple[Array, Array]) -> Array:
    """What a batch says, less to first order where it differs from all the data."""
    value, grad = here
    return batch.log_prob(x) - value + first.value + (first.grad - grad) @ (x - first.place)


class _First(NamedTuple):
    """A member, the lengths of its free coordinates, and the target to first order at a place."""

    member: Any
    unit: PyTree
    value: Float[Array, ""]
    grad: Float[Array, " D"]
    place: Float[Array, " D"]


class _Last(NamedTuple):
    member: Any
    losses: Float[Array, " steps"]
    num_bad: Int[Array, ""]
    finite: Bool[Array, ""]


def _drop(losses: Float[Array, " steps"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """From the last eighth but one to the last, and its standard error, of independent steps."""
    parts = losses[-2 * max(1, len(losses) // 8) :].reshape(2, -1)
    there = jnp.isfinite(parts)
    count = jnp.maximum(jnp.sum(there, 1), 1).astype(losses.dtype)
    means = jnp.sum(jnp.where(there, parts, 0.0), 1) / count
    squares = jnp.where(there, (parts - means[:, None]) ** 2, 0.0)
    return means[0] - means[1], jnp.sqrt(jnp.sum(jnp.sum(squares, 1) / count**2))
