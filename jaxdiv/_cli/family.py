"""The families that are fitted over vectors: their first members, and their parameters."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float

import jaxdiv as jd

from .request import Family

_FIRST_DF = 5.0


@dataclass(frozen=True)
class Component:
    """One of a mixture, or all of a family that is none, with a weight of 1.

    `scale` is the covariance of a Gaussian and the scale matrix of a Student's t.
    """

    weight: float
    loc: Float[np.ndarray, " D"]
    scale: Float[np.ndarray, "D D"]
    df: float | None = None


def first_member(
    family: Family, mean: Float[np.ndarray, " D"], covariance: Float[np.ndarray, "D D"]
) -> Any:
    """The member that a fit to a target of these moments starts from."""
    factor = np.linalg.cholesky(covariance)
    if family.name == "normal":
        return jd.Independent(jd.Normal(mean, np.sqrt(np.diag(covariance))), 1)
    if family.name == "mvn":
        return jd.MultivariateNormal(mean, factor)
    if family.name == "student_t":
        return jd.MultivariateStudentT(np.array(_FIRST_DF), mean, factor)
    return mixture_along(family.num_components, mean, covariance)


def mixture_along(
    num_components: int, mean: Float[np.ndarray, " D"], covariance: Float[np.ndarray, "D D"]
) -> jd.Mixture:
    """Equal Gaussians at the quantiles of the longest principal axis, each less wide than all."""
    lengths, axes = np.linalg.eigh(covariance)
    share = (np.arange(num_components) + 0.5) / num_components
    along = np.array([NormalDist().inv_cdf(x) for x in share]) * np.sqrt(lengths[-1])
    factor = np.linalg.cholesky(covariance) / num_components
    return jd.Mixture(
        jd.probs(np.full(num_components, 1 / num_components)),
        jd.MultivariateNormal(
            mean + along[:, None] * axes[:, -1], np.tile(factor, (num_components, 1, 1))
        ),
    )


def components_of(member: Any) -> tuple[Component, ...]:
    """The parameters of a member, the heaviest component first."""
    if isinstance(member, jd.Mixture):
        parts: Any = member.components
        weights = np.asarray(member.mixing.mass(None))
        order = np.argsort(-weights, kind="stable")
        locs, factors = np.asarray(parts.loc), np.asarray(parts.scale_tril)
        return tuple(
            Component(float(weights[k]), locs[k], factors[k] @ factors[k].T) for k in order
        )
    if isinstance(member, jd.Independent):
        base: Any = member.base
        return (Component(1.0, np.asarray(base.loc), np.diag(np.asarray(base.scale) ** 2)),)
    factor = np.asarray(member.scale_tril)
    df = float(member.df) if isinstance(member, jd.MultivariateStudentT) else None
    return (Component(1.0, np.asarray(member.loc), factor @ factor.T, df),)
