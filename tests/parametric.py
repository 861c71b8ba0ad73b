"""The parametric families on the line and over integers, each with its textbook in mpmath.

Nothing here is of the package but the classes themselves. A new family is tested by being listed.
"""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportOptionalIterable=false, reportGeneralTypeIssues=false, reportReturnType=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import mpmath as mp
import numpy as np

import jaxdiv as jd

log, gamma, exp, psi, sqrt, pi = mp.log, mp.loggamma, mp.exp, mp.digamma, mp.sqrt, mp.pi


@dataclass(frozen=True)
class Parametric:
    """`kinds` of its fields, in order: `loc`, `scale` (with its range), `unit`, `logit`, `count`.

    `log_density(x, *fields)`, `kl(p, q)` and `entropy(*fields)` are the textbook's; `moderate` are
    the fields of two members, and `outcomes` some, for tests that need no extremes. A `twin` has
    the closed forms of another that is listed, or a test of its own for them.
    """

    name: str
    make: Callable[..., Any]
    kinds: tuple[str, ...]
    log_density: Callable[..., Any]
    kl: Callable[..., Any] | None
    entropy: Callable[..., Any] | None
    moderate: tuple[tuple[float, ...], tuple[float, ...]]
    outcomes: tuple[float, ...]
    low: float = 1e-3
    high: float = 1e6
    integral: bool = True
    twin: bool = False
    exponential: bool = False  # its divergence grows as an exponential of its fields

    def pairs(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Fields of pairs, `[count, 2, fields]`: apart, near down to 1e-6, and equal."""
        sides = np.stack([self._draw(rng, count), self._draw(rng, count)], 1)
        near = np.arange(count) % 3 > 0
        gaps = 10.0 ** rng.uniform(-6, -1, (count, 1)) * rng.uniform(
            -1, 1, (count, len(self.kinds))
        )
        for i, kind in enumerate(self.kinds):
            p = sides[:, 0, i]
            unit = self._scale_of(sides[:, 0])
            moved = {
                "loc": p + unit * gaps[:, i],
                "scale": p * (1 + gaps[:, i]),
                "logit": p + gaps[:, i],
                "unit": p * (1 - (1 - p) * gaps[:, i]),
                "angle": p + gaps[:, i],
                "low": p - gaps[:, i] * unit,
                "high": p + gaps[:, i] * unit,
                "count": p,
            }[kind]
            sides[:, 1, i] = np.where(near, moved, sides[:, 1, i])
            if kind == "count" or (kind == "scale" and i in self.shared):
                sides[:, 1, i] = p
        sides[6::7, 1] = sides[6::7, 0]
        return sides

    @property
    def shared(self) -> tuple[int, ...]:
        """Fields that must agree for there to be a closed form."""
        return {"Kumaraswamy": (0,)}.get(self.name, ())

    def _scale_of(self, fields: np.ndarray) -> np.ndarray:
        index = [i for i, kind in enumerate(self.kinds) if kind == "scale"]
        if "high" in self.kinds:
            return fields[:, 1] - fields[:, 0]
        return fields[:, index[0]] if index else np.ones(len(fields))

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        spread = np.exp(rng.uniform(np.log(self.low), np.log(self.high), (count, len(self.kinds))))
        if len(self.kinds) > 1:  # half of them of ordinary size in all but one field
            ordinary = np.exp(rng.normal(size=spread.shape))
            some = rng.integers(0, len(self.kinds) + 1, (count, 1)) == np.arange(len(self.kinds))
            spread = np.where((np.arange(count) % 2 > 0)[:, None] & ~some, ordinary, spread)
        columns = []
        for i, kind in enumerate(self.kinds):
            columns.append(
                {
                    "scale": lambda i=i: spread[:, i],
                    "loc": lambda: self._scale_of(spread) * rng.normal(size=count),
                    "angle": lambda: rng.uniform(-3, 3, count),
                    "low": lambda: rng.normal(size=count),
                    "high": lambda i=i: columns[0] + spread[:, i],
                    "logit": lambda: rng.normal(size=count) * 10 ** rng.uniform(-2, 2, count),
                    "unit": lambda: 1 / (1 + np.exp(-3 * rng.normal(size=count))),
                    "count": lambda: rng.integers(1, 50, count).astype(float),
                }[kind]()
            )
        return np.stack(columns, 1)

    def unit(self, i: int, fields: Any) -> Any:
        """What a change of field `i` is measured in."""
        kind = self.kinds[i]
        if kind in ("low", "high"):
            return fields[1] - fields[0]
        if kind == "angle":
            return 1
        if kind in ("loc", "logit"):
            index = [j for j, other in enumerate(self.kinds) if other == "scale"]
            return fields[index[0]] if index else 1
        return fields[i] * (1 - fields[i]) if kind == "unit" else fields[i]


def on_scale(log_density):
    """Of a location-scale family, from that of its standard member."""
    return lambda x, loc, scale: log_density((x - loc) / scale) - log(scale)


def kl_normal(p, q):
    (m, s), (n, t) = p, q
    return ((m - n) ** 2 / t**2 + s**2 / t**2 - 1) / 2 - log(s / t)


def kl_gamma(p, q):
    (a, b), (c, d) = p, q
    return (a - c) * psi(a) - gamma(a) + gamma(c) + c * log(b / d) + a * (d - b) / b


def entropy_gamma(a, b):
    return a - log(b) + gamma(a) + (1 - a) * psi(a)


def kl_dirichlet(p, q):
    s, t = mp.fsum(p), mp.fsum(q)
    parts = [gamma(b) - gamma(a) + (a - b) * (psi(a) - psi(s)) for a, b in zip(p, q, strict=True)]
    return gamma(s) - gamma(t) + mp.fsum(parts)


def entropy_dirichlet(*p):
    s = mp.fsum(p)
    norm = mp.fsum(gamma(a) for a in p) - gamma(s)
    return norm + (s - len(p)) * psi(s) - mp.fsum((a - 1) * psi(a) for a in p)


def kl_bernoulli(p, q):
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def entropy_bernoulli(p):
    return -p * log(p) - (1 - p) * log(1 - p)


def kl_gumbel(p, q):
    (m, b), (n, c) = p, q
    moment = exp((n - m) / c + gamma(1 + b / c))
    return log(c / b) + mp.euler * (b / c - 1) + moment - 1 + (m - n) / c


def kl_moyal(p, q):
    (m, s), (n, t) = p, q
    half = mp.mpf(1) / 2
    moment = exp((n - m) / t + s / t * log(2) + gamma(half + s / t) - gamma(half))
    return log(t / s) + ((m - n) / t + (s / t - 1) * (mp.euler + log(2)) + moment - 1) / 2


def kl_weibull(p, q):
    (s, k), (t, m) = p, q
    moment = exp(m * log(s / t) + gamma(m / k + 1))
    densities = log(k) - k * log(s) - log(m) + m * log(t)
    return densities + (k - m) * (log(s) - mp.euler / k) + moment - 1


def kl_von_mises(p, q):
    (m, k), (n, c) = p, q
    a = mp.besseli(1, k) / mp.besseli(0, k)
    norm = log(mp.besseli(0, c)) - log(mp.besseli(0, k))
    return norm + a * (k - c * mp.cos(m - n))


def entropy_von_mises(m, k):
    a = mp.besseli(1, k) / mp.besseli(0, k)
    return log(2 * pi * mp.besseli(0, k)) - k * a


def kl_inverse_gaussian(p, q):
    (m, a), (n, b) = p, q
    return (log(a / b) + b / a - 1 + b * (m - n) ** 2 / (n**2 * m)) / 2


def entropy_inverse_gaussian(m, a):
    x = 2 * a / m
    return log(2 * pi * mp.e / a) / 2 + 3 * (log(m) - exp(x) * mp.e1(x)) / 2


def normaliser(z):
    """Of the continuous Bernoulli distribution, by its logit."""
    return log(mp.expm1(z) / z)


def mean_continuous_bernoulli(z):
    return 1 / (-mp.expm1(-z)) - 1 / z


def kl_continuous_bernoulli(p, q):
    (z,), (w,) = p, q
    return normaliser(w) - normaliser(z) + (z - w) * mean_continuous_bernoulli(z)


def kl_chi(p, q):
    (a,), (b,) = p, q
    return gamma(b / 2) - gamma(a / 2) + (a - b) / 2 * psi(a / 2)


def choose(n, k):
    return gamma(n + 1) - gamma(k + 1) - gamma(n - k + 1)


def kl_uniform(p, q):
    (a, b), (c, d) = p, q
    return log((d - c) / (b - a)) if c <= a and b <= d else mp.inf


def kl_pareto(p, q):
    (s, a), (t, b) = p, q
    return log(a / b) + b * log(s / t) + b / a - 1 if s >= t else mp.inf


def truncated_moments(m, s):
    """Of a normal variable that is positive: the mass, and E[z], E[z^2] of z = (x - m) / s."""
    a = -m / s
    mass = mp.erfc(a / sqrt(2)) / 2
    hazard = exp(-a * a / 2) / sqrt(2 * pi) / mass
    return mass, hazard, 1 + a * hazard


def kl_truncated_normal(p, q):
    (m, s), (n, t) = p, q
    mass, mean, square = truncated_moments(m, s)
    k, h = s / t, (m - n) / t
    other = k * k * square + 2 * k * h * mean + h * h
    return (other - square) / 2 + log(t / s) + log(truncated_moments(n, t)[0] / mass)


def entropy_truncated_normal(m, s):
    mass, _, square = truncated_moments(m, s)
    return log(s * mass * sqrt(2 * pi)) + square / 2


def entropy_kumaraswamy(a, b):
    harmonic = psi(b + 1) + mp.euler
    return 1 - 1 / b + (1 - 1 / a) * harmonic - log(a * b)


def entropy_student(v, m, s):
    half = psi((v + 1) / 2) - psi(v / 2)
    return (
        (v + 1) / 2 * half
        + log(v) / 2
        + gamma(v / 2)
        + gamma(mp.mpf(1) / 2)
        - gamma((v + 1) / 2)
        + log(s)
    )


def log_student(x, v, m, s):
    z = (x - m) / s
    norm = gamma((v + 1) / 2) - gamma(v / 2) - log(v * pi) / 2 - log(s)
    return norm - (v + 1) / 2 * log(1 + z**2 / v)


POSITIVE, LINE, INSIDE = (0.3, 1.0, 2.7), (-1.3, 0.2, 2.4), (0.1, 0.45, 0.8)
TWO = ("scale", "scale")
PLACED = ("loc", "scale")
SOME = ((1.7, 0.8), (2.4, 1.3))
SOMEWHERE = ((0.3, 0.8), (-0.4, 1.3))

PARAMETRIC = [
    Parametric(
        "Exponential",
        jd.Exponential,
        ("scale",),
        lambda x, b: log(b) - b * x,
        lambda p, q: log(p[0] / q[0]) + q[0] / p[0] - 1,
        lambda b: 1 - log(b),
        ((0.8,), (1.7,)),
        POSITIVE,
    ),
    Parametric(
        "Gamma",
        jd.Gamma,
        TWO,
        lambda x, a, b: a * log(b) + (a - 1) * log(x) - b * x - gamma(a),
        kl_gamma,
        entropy_gamma,
        SOME,
        POSITIVE,
    ),
    Parametric(
        "InverseGamma",
        jd.InverseGamma,
        TWO,
        lambda x, a, b: a * log(b) - (a + 1) * log(x) - b / x - gamma(a),
        kl_gamma,
        lambda a, b: a + log(b) + gamma(a) - (1 + a) * psi(a),
        ((4.7, 0.8), (3.4, 1.3)),
        POSITIVE,
        twin=True,
    ),
    Parametric(
        "Chi2",
        jd.Chi2,
        ("scale",),
        lambda x, v: (v / 2 - 1) * log(x) - x / 2 - v / 2 * log(2) - gamma(v / 2),
        kl_chi,
        lambda v: entropy_gamma(v / 2, mp.mpf(1) / 2),
        ((5.5,), (4.1,)),
        POSITIVE,
    ),
    Parametric(
        "Chi",
        jd.Chi,
        ("scale",),
        lambda x, v: (1 - v / 2) * log(2) + (v - 1) * log(x) - x * x / 2 - gamma(v / 2),
        kl_chi,
        lambda v: gamma(v / 2) + (v - log(2) - (v - 1) * psi(v / 2)) / 2,
        ((5.5,), (4.1,)),
        POSITIVE,
        twin=True,
    ),
    Parametric(
        "Beta",
        jd.Beta,
        TWO,
        lambda x, a, b: (
            (a - 1) * log(x) + (b - 1) * log(1 - x) + gamma(a + b) - gamma(a) - gamma(b)
        ),
        kl_dirichlet,
        entropy_dirichlet,
        SOME,
        INSIDE,
    ),
    Parametric(
        "Laplace",
        jd.Laplace,
        PLACED,
        on_scale(lambda z: -abs(z) - log(2)),
        lambda p, q: (
            log(q[1] / p[1])
            + abs(p[0] - q[0]) / q[1]
            + p[1] / q[1] * exp(-abs(p[0] - q[0]) / p[1])
            - 1
        ),
        lambda m, b: 1 + log(2 * b),
        SOMEWHERE,
        LINE,
    ),
    Parametric(
        "Cauchy",
        jd.Cauchy,
        PLACED,
        on_scale(lambda z: -log(pi * (1 + z * z))),
        lambda p, q: log(((p[1] + q[1]) ** 2 + (p[0] - q[0]) ** 2) / (4 * p[1] * q[1])),
        lambda m, s: log(4 * pi * s),
        SOMEWHERE,
        LINE,
    ),
    Parametric(
        "Logistic",
        jd.Logistic,
        PLACED,
        on_scale(lambda z: -z - 2 * log(1 + exp(-z))),
        None,
        lambda m, s: log(s) + 2,
        SOMEWHERE,
        LINE,
    ),
    Parametric(
        "StudentT",
        jd.StudentT,
        ("scale", "loc", "scale"),
        log_student,
        None,
        entropy_student,
        ((3.1, 0.3, 0.8), (5.2, -0.4, 1.3)),
        LINE,
    ),
    Parametric(
        "Gumbel",
        jd.Gumbel,
        PLACED,
        on_scale(lambda z: -z - exp(-z)),
        kl_gumbel,
        lambda m, b: log(b) + 1 + mp.euler,
        SOMEWHERE,
        LINE,
        exponential=True,
    ),
    Parametric(
        "Moyal",
        jd.Moyal,
        PLACED,
        on_scale(lambda z: -(z + exp(-z) + log(2 * pi)) / 2),
        kl_moyal,
        lambda m, s: log(s) + (1 + mp.euler + log(4 * pi)) / 2,
        SOMEWHERE,
        LINE,
        exponential=True,
    ),
    Parametric(
        "Weibull",
        jd.Weibull,
        TWO,
        lambda x, s, k: log(k / s) + (k - 1) * log(x / s) - (x / s) ** k,
        kl_weibull,
        lambda s, k: mp.euler * (1 - 1 / k) + log(s / k) + 1,
        SOME,
        POSITIVE,
        high=1e3,
        exponential=True,
    ),
    Parametric(
        "Uniform",
        jd.Uniform,
        ("low", "high"),
        lambda x, a, b: -log(b - a) if a <= x <= b else -mp.inf,
        kl_uniform,
        lambda a, b: log(b - a),
        ((0.3, 1.1), (-0.4, 1.9)),
        (-0.5, 0.5, 0.9),
    ),
    Parametric(
        "Pareto",
        jd.Pareto,
        TWO,
        lambda x, s, a: log(a) + a * log(s) - (a + 1) * log(x) if x >= s else -mp.inf,
        kl_pareto,
        lambda s, a: log(s / a) + 1 / a + 1,
        ((1.3, 1.8), (0.6, 2.3)),
        POSITIVE,
    ),
    Parametric(
        "HalfNormal",
        jd.HalfNormal,
        ("scale",),
        lambda x, s: log(2 / (pi * s * s)) / 2 - x * x / (2 * s * s),
        lambda p, q: kl_normal((mp.mpf(0), p[0]), (mp.mpf(0), q[0])),
        lambda s: log(pi * s * s / 2) / 2 + mp.mpf(1) / 2,
        ((0.8,), (1.7,)),
        POSITIVE,
    ),
    Parametric(
        "TruncatedNormal",
        lambda m, s: jd.TruncatedNormal(m, s, 0.0),
        PLACED,
        lambda x, m, s: (
            -(((x - m) / s) ** 2) / 2 - log(s * truncated_moments(m, s)[0] * sqrt(2 * pi))
        ),
        kl_truncated_normal,
        entropy_truncated_normal,
        SOMEWHERE,
        POSITIVE,
        twin=True,
    ),
    Parametric(
        "LogNormal",
        jd.LogNormal,
        PLACED,
        lambda x, m, s: -((log(x) - m) ** 2) / (2 * s * s) - log(s * x * sqrt(2 * pi)),
        kl_normal,
        lambda m, s: log(2 * pi * mp.e * s * s) / 2 + m,
        SOMEWHERE,
        POSITIVE,
        twin=True,
    ),
    Parametric(
        "LogitNormal",
        jd.LogitNormal,
        PLACED,
        lambda x, m, s: (
            -((log(x / (1 - x)) - m) ** 2) / (2 * s * s) - log(s * x * (1 - x) * sqrt(2 * pi))
        ),
        kl_normal,
        None,
        SOMEWHERE,
        INSIDE,
        twin=True,
    ),
    Parametric(
        "VonMises",
        jd.VonMises,
        ("angle", "scale"),
        lambda x, m, k: k * mp.cos(x - m) - log(2 * pi * mp.besseli(0, k)),
        kl_von_mises,
        entropy_von_mises,
        SOMEWHERE,
        LINE,
    ),
    Parametric(
        "InverseGaussian",
        jd.InverseGaussian,
        TWO,
        lambda x, m, a: log(a / (2 * pi * x**3)) / 2 - a * (x - m) ** 2 / (2 * m * m * x),
        kl_inverse_gaussian,
        entropy_inverse_gaussian,
        SOME,
        POSITIVE,
    ),
    Parametric(
        "Kumaraswamy",
        jd.Kumaraswamy,
        TWO,
        lambda x, a, b: log(a * b) + (a - 1) * log(x) + (b - 1) * log(1 - x**a),
        lambda p, q: log(p[1] / q[1]) + q[1] / p[1] - 1,
        entropy_kumaraswamy,
        ((1.7, 0.8), (1.7, 1.3)),
        INSIDE,
        twin=True,
    ),
    Parametric(
        "ContinuousBernoulli",
        lambda z: jd.ContinuousBernoulli(logits=z),
        ("logit",),
        lambda x, z: z * x - normaliser(z),
        kl_continuous_bernoulli,
        lambda z: normaliser(z) - z * mean_continuous_bernoulli(z),
        ((0.8,), (-1.7,)),
        INSIDE,
    ),
    Parametric(
        "Poisson",
        jd.Poisson,
        ("scale",),
        lambda x, b: x * log(b) - b - gamma(x + 1),
        lambda p, q: p[0] * log(p[0] / q[0]) - p[0] + q[0],
        None,
        ((1.8,), (2.7,)),
        (0.0, 1.0, 5.0),
        integral=False,
    ),
    Parametric(
        "Geometric",
        jd.Geometric,
        ("unit",),
        lambda x, p: log(p) + x * log(1 - p),
        lambda p, q: kl_bernoulli(p[0], q[0]) / p[0],
        lambda p: entropy_bernoulli(p) / p,
        ((0.4,), (0.7,)),
        (0.0, 1.0, 5.0),
        integral=False,
    ),
    Parametric(
        "NegativeBinomial",
        jd.NegativeBinomial,
        ("count", "unit"),
        lambda x, r, p: choose(x + r - 1, x) + r * log(p) + x * log(1 - p),
        lambda p, q: p[0] / p[1] * kl_bernoulli(p[1], q[1]),
        None,
        ((3.0, 0.4), (3.0, 0.7)),
        (0.0, 1.0, 5.0),
        integral=False,
        twin=True,
    ),
    Parametric(
        "Binomial",
        jd.Binomial,
        ("count", "unit"),
        lambda x, n, p: choose(n, x) + x * log(p) + (n - x) * log(1 - p),
        lambda p, q: p[0] * kl_bernoulli(p[1], q[1]),
        None,
        ((7.0, 0.4), (7.0, 0.7)),
        (0.0, 1.0, 5.0),
        integral=False,
    ),
]


@dataclass(frozen=True)
class Multivariate:
    """A family of vectors or matrices, or another that is not listed above."""

    name: str
    make: Callable[[np.random.Generator], Any]


def tril(rng: np.random.Generator, size: int) -> Any:
    """A Cholesky factor that is not ill-conditioned."""
    lower = np.tril(0.4 * rng.normal(size=(size, size)), -1)
    return jnp.asarray(lower + np.diag(np.exp(0.3 * rng.normal(size=size))))


def direction(rng: np.random.Generator, size: int) -> Any:
    """A unit vector."""
    x = rng.normal(size=size)
    return jnp.asarray(x / np.linalg.norm(x))


def _low_rank(rng):
    return jd.LowRankMultivariateNormal(
        jnp.asarray(rng.normal(size=3)),
        jnp.asarray(rng.normal(size=(3, 1))),
        jnp.asarray(np.exp(0.3 * rng.normal(size=3))),
    )


def _matrix_normal(rng):
    return jd.MatrixNormal(jnp.asarray(rng.normal(size=(2, 3))), tril(rng, 2), tril(rng, 3))


def _student(rng):
    df = jnp.asarray(rng.uniform(3, 5))
    return jd.MultivariateStudentT(df, jnp.asarray(rng.normal(size=2)), tril(rng, 2))


MULTIVARIATE = [
    Multivariate("Dirichlet", lambda rng: jd.Dirichlet(jnp.asarray(rng.uniform(1, 3, 4)))),
    Multivariate("Wishart", lambda rng: jd.Wishart(jnp.asarray(rng.uniform(4, 6)), tril(rng, 3))),
    Multivariate(
        "InverseWishart",
        lambda rng: jd.InverseWishart(jnp.asarray(rng.uniform(7, 9)), tril(rng, 3)),
    ),
    Multivariate("MatrixNormal", _matrix_normal),
    Multivariate(
        "VonMisesFisher", lambda rng: jd.VonMisesFisher(direction(rng, 3), jnp.asarray(2.3))
    ),
    Multivariate(
        "PowerSpherical", lambda rng: jd.PowerSpherical(direction(rng, 3), jnp.asarray(2.3))
    ),
    Multivariate("LowRankMultivariateNormal", _low_rank),
    Multivariate("MultivariateStudentT", _student),
    Multivariate(
        "Multinomial",
        lambda rng: jd.Multinomial(jnp.asarray(5.0), jnp.asarray(rng.dirichlet(np.ones(3)))),
    ),
    Multivariate("Shifted", lambda rng: jd.Shifted(jd.Exponential(1.0), jnp.asarray(rng.normal()))),
    Multivariate(
        "Transformed",
        lambda rng: jd.Transformed(jd.Normal(jnp.asarray(rng.normal()), 1.0), jd.Softplus()),
    ),
]
