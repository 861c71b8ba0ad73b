"""What a fit returns, and the words for how it ended."""

from typing import Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .assess import Assessment
from .clock import Seconds

Family = TypeVar("Family")


class RESULTS(eqx.Enumeration):
    """How a start of `fit` ended, in words, and what to do about it."""

    converged = "Converged: the gradient vanishes and the Hessian is positive definite."
    max_steps = (
        "The steps ran out before the optimum was reached. Raise `num_steps`, or start closer: "
        "give `starts=` a number or a stacked family."
    )
    stalled = (
        "No step decreases the objective any more, yet its gradient is not zero: its rounding or "
        "sampling error is in the way. Use float64, a finer quadrature or more draws."
    )
    not_an_optimum = (
        "Stopped where the gradient vanishes but the Hessian is not positive definite: a saddle, a "
        "plateau or a scale that collapses. Try other starts, or a family with fewer parameters."
    )
    noise_limited = (
        "At rest on its own draws, but by fresh ones further from the optimum than `tolerance` and "
        "the standard error of the value. Raise `max_evaluations` or `num_draws`."
    )
    max_evaluations = (
        "The evaluations or steps ran out before it came to rest. Raise `num_steps` or "
        "`max_evaluations`, or write the target in other coordinates."
    )
    interrupted = "Interrupted before the steps ran out: this is the best so far."
    repeated = "Met the path of a better start, and was not carried on."
    diverged = (
        "The objective or its gradient is not finite: the start has no overlap with the target, "
        "the quadrature does not resolve it, or the optimiser's steps are too long. Start closer, "
        "refine the quadrature or lower the learning rate."
    )


class Certificate(eqx.Module):
    r"""The independent objective at the end of each start, and whether it has an optimum there.

    `decrement` is $\frac12 g^T |H|^{-1} g$, the decrease that a Newton step still promises, `step`
    the largest entry of that step and `curvature` the least eigenvalue of the Hessian scaled to a
    unit diagonal; all in free coordinates, with lengths in the spread of the target.
    """

    value: Float[Array, "starts"]
    decrement: Float[Array, "starts"]
    step: Float[Array, "starts"]
    curvature: Float[Array, "starts"]
    is_optimum: Bool[Array, "starts"]


class Fit(eqx.Module, Generic[Family]):
    """Every start of a `fit`, best optimum first; what is no optimum stands after all that are.

    Attributes:
        distribution: the best member of the family.
        value: its value, evaluated independently of the objective that was minimised.
        quantity: what the value is, in words, and whether the optimum is one in closed form.
        optima: the member at which each start ended, stacked.
        values: their independent values.
        cluster: the number of the optimum that the start found (0 is the best), -1 for none.
        is_distinct: marks the best start of each cluster: `optima` there are the optima found.
        losses: the objective at the start of each step, NaN after the stop.
        num_steps: steps taken.
        num_evaluations: evaluations of the objective (each with its gradient, and with `newton`
            its Hessian), those of a line search included.
        result: a member of `RESULTS` for each start.
        certificate: what was found at each end, and is the reason for calling it an optimum.
        opt_state: the optimiser's last state, in free coordinates with lengths in the spread of the
            target.
        path: with `record=True`, the members passed through, the last one repeated after the stop.
        standard_error: of the values, where they are averages over draws; else None.
        num_bad: how many evaluations of the objective were not finite and passed over; by an
            algorithm, at how many draws the log-density or its gradient was not.
        assessment: what the distribution may be used for, where an algorithm fitted it to the
            log-density of the target; else None.
        seconds: spent compiling and running; None under a trace.
    """

    distribution: Family
    value: Float[Array, ""]
    quantity: str = eqx.field(static=True)
    optima: Family
    values: Float[Array, "starts"]
    cluster: Int[Array, "starts"]
    is_distinct: Bool[Array, "starts"]
    losses: Float[Array, "starts steps"]
    num_steps: Int[Array, "starts"]
    num_evaluations: Int[Array, "starts"]
    result: RESULTS
    certificate: Certificate
    opt_state: PyTree
    path: Family | None
    standard_error: Float[Array, "starts"] | None = None
    num_bad: Int[Array, "starts"] | None = None
    assessment: Assessment | None = None
    seconds: Seconds | None = None

    def samples(self, key: Key[Array, ""], n: int, *, weighted: bool = False) -> PyTree:
        """`n` draws of the distribution, or of the target by the importance weights.

        Weighted ones are taken, with repetition, from the draws of `assessment`, by systematic
        resampling: there are no more different ones than those.

        Raises:
            ValueError: for weighted draws of a fit that has no assessment.
        """
        if not weighted:
            return self.distribution.sample(key, (n,))  # pyright: ignore
        if self.assessment is None:
            raise ValueError(
                "samples: this fit has no importance weights: fit to a Posterior or a LogDensity "
                "over vectors, with `optim` left out."
            )
        weights = self.assessment.weights
        key_level, key_order = jr.split(key)
        levels = (jnp.arange(n, dtype=weights.dtype) + jr.uniform(key_level, (), weights.dtype)) / n
        index = jnp.searchsorted(jnp.cumsum(weights), levels)
        index = jr.permutation(key_order, jnp.minimum(index, len(weights) - 1))
        return jax.tree.map(lambda x: x[index], self.assessment.draws)
