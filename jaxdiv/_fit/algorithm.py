"""Algorithms that fit to a log-density alone, and what they are given and give back."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float, Int, Key

from .._operand.posterior import Posterior
from .adaptive import Weighted
from .draws import LogDensityFn
from .template import AbstractTemplate


class Problem(NamedTuple):
    """A log-density on $R^D$, the kind of family, and where to start from.

    `others` are points to start from besides `first`, or, where nothing is known of the target,
    their number: they are then laid about the mode that is found from `first`.
    """

    log_density: LogDensityFn
    template: AbstractTemplate
    first: Float[Array, " D"]
    others: Float[Array, "S D"] | int
    target: Any  # what the log-density is of, for an algorithm that knows its factors
    posterior: Posterior | None  # and that is of, for one that takes its data in batches


class Ends(NamedTuple):
    """Where each start ended, and what the algorithm itself knows of it."""

    members: Any  # stacked
    gap: Float[Array, " S"]  # nats above the optimum of its basin
    step: Float[Array, " S"]  # what a next step would move, in standard deviations
    curvature: Float[Array, " S"]  # the least eigenvalue of the objective's Hessian, of 1 at rest
    settled: Bool[Array, " S"]  # it came to rest on its own draws
    repeated: Bool[Array, " S"]  # it began where a better one had, and was not carried on
    num_steps: Int[Array, " S"]
    num_evaluations: Int[Array, " S"]
    num_bad: Int[Array, " S"]
    losses: Float[Array, "S steps"]
    weighted: Weighted | None = None  # the target by importance weights, where they are at hand


class AbstractAlgorithm(eqx.Module):
    """Fits a family of a kind to a log-density. Its fields are static."""

    max_evaluations: eqx.AbstractVar[int]
    tolerance: eqx.AbstractVar[float | None]
    forward: eqx.AbstractClassVar[bool]  # whether it is KL(target, family) that it minimises
    is_exact: eqx.AbstractClassVar[bool]  # whether it ends where that has its optimum

    @abc.abstractmethod
    def solve(self, problem: Problem, key: Key[Array, ""], num_judged: int) -> Ends:
        """From every start; pure, and compiled with what judges the ends by `num_judged` draws."""

    @property
    @abc.abstractmethod
    def quantity(self) -> str:
        """In words, what was minimised, and how."""
