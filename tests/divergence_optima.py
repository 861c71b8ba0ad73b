r"""The best Gaussian by any divergence to a two-mode density, on a dense grid (SciPy, float64)."""

import math

import numpy as np
from scipy.optimize import minimize

from .exact_targets import TARGETS

X = np.linspace(-20.0, 20.0, 8_001)
STEP = X[1] - X[0]


def log_normal(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)


def log_target(name, x=X):
    target = TARGETS[name]
    mode, scale = target.mode[0], math.sqrt(target.covariance[0, 0])
    parts = (log_normal(x, -mode, scale), log_normal(x, mode, scale))
    return np.logaddexp(math.log(target.weight) + parts[0], math.log1p(-target.weight) + parts[1])


def integral(f):
    """By the trapezoidal rule, whose error is far below rounding for these integrands."""
    return float(np.sum(f) * STEP)


def power(order):
    """The integral of p^order q^(1 - order)."""
    return lambda p, q: integral(np.exp(order * p + (1 - order) * q))


def kl(p, q):
    return integral(np.exp(p) * (p - q))


def jensen_shannon(beta):
    def value(p, q):
        middle = np.logaddexp(math.log(beta) + p, math.log1p(-beta) + q)
        return beta * kl(p, middle) + (1 - beta) * kl(q, middle)

    return value


def amari(alpha):
    return lambda p, q: 4 / (1 - alpha**2) * (1 - power((1 - alpha) / 2)(p, q))


# The textbook's definitions, of log-densities on the grid.
DIVERGENCES = {
    "KL": kl,
    "Jeffreys": lambda p, q: kl(p, q) + kl(q, p),
    "skewed Jensen-Shannon": jensen_shannon(0.2),
    "Renyi": lambda p, q: math.log(power(0.7)(p, q)) / (0.7 - 1),
    "Amari": amari(-0.4),
    "chi-squared": lambda p, q: power(2.0)(p, q) - 1,
    "Neyman": lambda p, q: power(-1.0)(p, q) - 1,
    "triangular": lambda p, q: integral(np.exp(np.logaddexp(p, q)) * np.tanh((p - q) / 2) ** 2),
}


def renyi(order):
    return kl if order == 1 else lambda p, q: math.log(power(order)(p, q)) / (order - 1)


def value(divergence, direction, name, loc, scale):
    p, q = log_target(name), log_normal(X, loc, scale)
    return divergence(p, q) if direction == "forward" else divergence(q, p)


def optimum(divergence, direction, name, loc, scale):
    """Value, location and scale at the optimum near the given ones."""

    def of(free):
        with np.errstate(over="ignore"):
            return value(divergence, direction, name, free[0], math.exp(free[1]))

    free = np.array([loc, math.log(scale)])
    free = minimize(of, free, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14}).x
    return of(free), free[0], math.exp(free[1])
