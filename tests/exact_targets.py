r"""Two-mode targets and their KL divergences to Gaussians, without jaxdiv (SciPy, float64).

Where the components share a covariance $S$, $\log p$ is a quadratic plus the logarithm of a sum of
$e^{a_k^T x + b_k}$; with two components at $\pm m$ that sum depends on $m^T S^{-1} x$ alone, so
every expectation under a Gaussian, in any dimension, is one integral on a line.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize


class Target(NamedTuple):
    """`weight` N(-mode, covariance) + (1 - `weight`) N(mode, covariance)."""

    weight: float
    mode: np.ndarray
    covariance: np.ndarray


TARGETS = {
    "sym1d": Target(0.5, np.array([2.0]), np.array([[0.25]])),
    "asym1d": Target(0.7, np.array([2.0]), np.array([[0.25]])),
    "bi2d": Target(0.6, np.array([1.5, 1.0]), np.array([[0.5, 0.2], [0.2, 0.3]])),
}

# As published with the targets: (target, direction, shape of the family) -> every optimum.
KNOWN = {
    ("sym1d", "reverse", "full"): (0.6930529416643734, 0.6930529416643734, 1.8711965121683893),
    ("sym1d", "forward", "full"): (0.7235530265457926,),
    ("asym1d", "reverse", "full"): (0.35661496851815055, 1.203825982159497),
    ("asym1d", "forward", "full"): (0.724222106654103,),
    ("bi2d", "reverse", "diagonal"): (0.6634941602463991, 1.066507436093308),
    ("bi2d", "reverse", "full"): (0.3637658617469053,),
    ("bi2d", "forward", "full"): (0.2540127400280531,),
}


_NEAR = {
    "sym1d": [([-2.0], [[0.5]]), ([2.0], [[0.5]]), ([0.0], [[1.7]])],
    "asym1d": [([-2.0], [[0.5]]), ([2.0], [[0.5]])],
    "bi2d": [([-1.5, -1.0], [[0.6, 0.0], [0.0, 0.5]]), ([1.5, 1.0], [[0.6, 0.0], [0.0, 0.5]])],
}


def near(name: str, direction: str, shape: str = "full") -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and factor near each optimum, in the order of `KNOWN`."""
    if direction == "forward":
        mean, covariance = moments(TARGETS[name])
        return [(mean, np.linalg.cholesky(covariance))]
    if (name, shape) == ("bi2d", "full"):
        return [(np.array([-0.2, -0.2]), np.array([[1.5, 0.0], [0.9, 0.5]]))]
    return [(np.array(mean), np.array(tril)) for mean, tril in _NEAR[name]]


def moments(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the target: those of the best forward fit."""
    mean = (1 - 2 * target.weight) * target.mode
    spread = 4 * target.weight * (1 - target.weight) * np.outer(target.mode, target.mode)
    return mean, target.covariance + spread


def reverse_kl(target: Target, mean: np.ndarray, tril: np.ndarray) -> float:
    """KL(N(mean, tril tril^T) || target)."""
    covariance = tril @ tril.T
    dim = len(mean)
    entropy = 0.5 * dim * (1 + np.log(2 * np.pi)) + np.sum(np.log(np.diagonal(tril)))
    return -entropy - _mean_log_target(target, mean, covariance)


def forward_kl(target: Target, mean: np.ndarray, tril: np.ndarray) -> float:
    """KL(target || N(mean, tril tril^T))."""
    covariance = tril @ tril.T
    centre, spread = moments(target)
    away = centre - mean
    quadratic = np.trace(np.linalg.solve(covariance, spread + np.outer(away, away)))
    log_det = 2 * np.sum(np.log(np.diagonal(tril)))
    cross_entropy = 0.5 * (len(mean) * np.log(2 * np.pi) + log_det + quadratic)
    parts = [_mean_log_target(target, s * target.mode, target.covariance) for s in (-1, 1)]
    return cross_entropy + target.weight * parts[0] + (1 - target.weight) * parts[1]


def optimum(
    target: Target, direction: str, shape: str, mean: np.ndarray, tril: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The value, mean and factor at the optimum near the given ones; `shape` diagonal or full."""
    dim = len(mean)
    rows, columns = np.tril_indices(dim) if shape == "full" else np.diag_indices(dim)
    value = {"forward": forward_kl, "reverse": reverse_kl}[direction]

    def unpack(free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        factor = np.zeros((dim, dim))
        factor[rows, columns] = np.where(rows == columns, np.exp(free[dim:]), free[dim:])
        return free[:dim], factor

    entries = tril[rows, columns]
    start = np.where(rows == columns, np.log(np.where(rows == columns, entries, 1.0)), entries)
    x = np.concatenate([mean, start])
    for _ in range(3):  # from the last end: the finite differences stall short of the optimum
        x = minimize(lambda x: value(target, *unpack(x)), x, method="BFGS", tol=1e-9).x
    return value(target, *unpack(x)), *unpack(x)


def _mean_log_target(target: Target, mean: np.ndarray, covariance: np.ndarray) -> float:
    """E log target under N(mean, covariance)."""
    precision = np.linalg.inv(target.covariance)
    direction = precision @ target.mode
    dim = len(mean)
    constant = -0.5 * (dim * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1])
    constant -= 0.5 * target.mode @ direction
    quadratic = -0.5 * (np.trace(precision @ covariance) + mean @ precision @ mean)

    def log_sum(t: np.ndarray) -> np.ndarray:
        return np.logaddexp(np.log(target.weight) - t, np.log1p(-target.weight) + t)

    middle, scale = direction @ mean, np.sqrt(direction @ covariance @ direction)
    # The trapezoidal rule, whose error for an analytic integrand falls off like exp(-1 / step).
    z = np.linspace(-12.0, 12.0, 20001)
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return constant + quadratic + np.sum(log_sum(middle + scale * z) * density) * (z[1] - z[0])
