"""Log-densities of the posteriors: pure functions of named parameters and data, priors included.

Constants that no parameter enters are left out.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, log_ndtr
from jax.scipy.stats import norm
from jaxtyping import Array, Float

Params = dict[str, Array]
Vector = Float[Array, " n"]
Matrix = Float[Array, "n k"]


def normal(x: Array, loc: Array | float, scale: Array | float) -> Array:
    """The sum of the log-densities of normal distributions."""
    return jnp.sum(norm.logpdf(x, loc, scale))


def student_t(x: Array, df: Array, loc: Array, scale: Array) -> Array:
    """The sum of the log-densities of Student's distributions."""
    z = (x - loc) / scale
    constant = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * jnp.log(df * jnp.pi) - jnp.log(scale)
    return jnp.sum(constant - (df + 1) / 2 * jnp.log1p(z * z / df))


def half_normal(x: Array, scale: float) -> Array:
    """Up to a constant."""
    return -0.5 * jnp.sum((x / scale) ** 2)


def log_normal(x: Array, loc: float, scale: float) -> Array:
    """Up to a constant."""
    return jnp.sum(norm.logpdf(jnp.log(x), loc, scale) - jnp.log(x))


def linear(params: Params, columns: Matrix, y: Vector, widths: Vector) -> Array:
    """Normal regression; a wide normal prior of each coefficient and an exponential scale."""
    beta, sigma = params["beta"], params["sigma"]
    return normal(y, columns @ beta, sigma) + normal(beta, 0.0, widths) - sigma / 1000


def robust(params: Params, columns: Matrix, y: Vector, widths: Vector) -> Array:
    """Student-t regression with unknown degrees of freedom (Juarez & Steel 2010)."""
    beta, sigma, df = params["beta"], params["sigma"], params["df"]
    prior = normal(beta, 0.0, widths) - sigma / 10 + jnp.log(df) - 0.1 * df
    return student_t(y, df, columns @ beta, sigma) + prior


def logistic(params: Params, columns: Matrix, y: Vector, widths: Vector) -> Array:
    """Logistic regression."""
    eta = columns @ params["beta"]
    return jnp.sum(y * eta - jax.nn.softplus(eta)) + normal(params["beta"], 0.0, widths)


def poisson(params: Params, columns: Matrix, y: Vector, widths: Vector) -> Array:
    """Poisson regression, of the logarithm of the rate."""
    eta = columns @ params["beta"]
    return jnp.sum(y * eta - jnp.exp(eta)) + normal(params["beta"], 0.0, widths)


def negative_binomial(params: Params, columns: Matrix, y: Vector, widths: Vector) -> Array:
    """Counts of mean exp(eta) and variance mean + mean^2/k."""
    eta, k = columns @ params["beta"], params["concentration"]
    log_total = jnp.logaddexp(jnp.log(k), eta)
    counts = gammaln(y + k) - gammaln(k) + k * (jnp.log(k) - log_total) + y * (eta - log_total)
    return jnp.sum(counts) + normal(params["beta"], 0.0, widths) + log_normal(k, 0.0, 1.0)


def ordinal(params: Params, columns: Matrix, y: Vector, widths: Vector) -> Array:
    """Proportional odds: the logit of P(y <= k) is cut_k - eta."""
    eta, cuts = columns @ params["beta"], params["cuts"]
    y = y.astype(int)
    ends = jnp.concatenate([jnp.full(1, -jnp.inf), cuts, jnp.full(1, jnp.inf)])
    upper, lower = ends[y + 1] - eta, ends[y] - eta
    # log(sigmoid(b) - sigmoid(a)), which does not cancel: infinite ends have their limits.
    first, last = y == 0, y == len(cuts)
    inner = ~first & ~last
    b, a = jnp.where(inner, upper, 1.0), jnp.where(inner, lower, 0.0)
    between = jnp.log(-jnp.expm1(a - b)) + jax.nn.log_sigmoid(b) + jax.nn.log_sigmoid(-a)
    low = jax.nn.log_sigmoid(jnp.where(first, upper, 0.0))
    high = jax.nn.log_sigmoid(jnp.where(last, -lower, 0.0))
    terms = jnp.where(first, low, jnp.where(last, high, between))
    return jnp.sum(terms) + normal(params["beta"], 0.0, widths) + normal(cuts, 0.0, 10.0)


def effects_centred(params: Params, y: Vector, errors: Vector) -> Array:
    """Eight schools (Rubin 1981): mu ~ N(0, 5^2), tau ~ C+(0, 5), effects ~ N(mu, tau^2)."""
    effects, mu, tau = params["effects"], params["mu"], params["tau"]
    prior = normal(mu, 0.0, 5.0) - jnp.log1p((tau / 5) ** 2)
    return normal(y, effects, errors) + normal(effects, mu, tau) + prior


def effects_noncentred(params: Params, y: Vector, errors: Vector) -> Array:
    """The same with effects mu + tau z, z ~ N(0, 1)."""
    z, mu, tau = params["z"], params["mu"], params["tau"]
    prior = normal(mu, 0.0, 5.0) - jnp.log1p((tau / 5) ** 2)
    return normal(y, mu + tau * z, errors) + normal(z, 0.0, 1.0) + prior


def intercepts_centred(params: Params, y: Vector, x: Vector, group: Array) -> Array:
    """A regression whose intercept varies between groups."""
    alpha, mu, tau = params["alpha"], params["mu"], params["tau"]
    fit = alpha[group.astype(int)] + params["slope"] * x
    return normal(y, fit, params["sigma"]) + normal(alpha, mu, tau) + _hyper(params)


def intercepts_noncentred(params: Params, y: Vector, x: Vector, group: Array) -> Array:
    """The same with intercepts mu + tau z, z ~ N(0, 1)."""
    alpha = params["mu"] + params["tau"] * params["z"]
    fit = alpha[group.astype(int)] + params["slope"] * x
    return normal(y, fit, params["sigma"]) + normal(params["z"], 0.0, 1.0) + _hyper(params)


def _hyper(params: Params) -> Array:
    locations = normal(params["mu"], 0.0, 100.0) + normal(params["slope"], 0.0, 10.0)
    return locations + half_normal(params["tau"], 10.0) + half_normal(params["sigma"], 20.0)


def autoregression(params: Params, y: Vector) -> Array:
    """AR(2) by its partial autocorrelations, given the first two values."""
    first, second = params["partial"]
    z = y - params["mean"]
    past = first * (1 - second) * z[1:-1] + second * z[:-2]
    prior = normal(params["mean"], 0.0, 10.0) + half_normal(params["sigma"], 1.0)
    return normal(z[2:], past, params["sigma"]) + prior


def garch(params: Params, y: Vector) -> Array:
    """GARCH(1, 1), with shares of the variance: of the last shock, the last variance, and fixed."""
    shock, kept, fixed = params["shares"]
    z, level = y - params["mean"], params["level"]

    def step(variance: Array, z: Array) -> tuple[Array, Array]:
        return fixed * level**2 + kept * variance + shock * z * z, variance

    _, variances = jax.lax.scan(step, level**2, z)
    prior = normal(params["mean"], 0.0, 1.0) + log_normal(level, 0.0, 1.0)
    return normal(z, 0.0, jnp.sqrt(variances)) + prior


def local_level(params: Params, y: Vector) -> Array:
    """A random walk seen through noise, the walk integrated out by the Kalman filter."""
    noise, move = params["noise"] ** 2, params["move"] ** 2

    def step(carry: tuple[Array, Array], y: Array) -> tuple[tuple[Array, Array], Array]:
        mean, variance = carry
        total = variance + noise
        gain = variance / total
        term = norm.logpdf(y, mean, jnp.sqrt(total))
        return (mean + gain * (y - mean), variance * (1 - gain) + move), term

    start = (params["start"], jnp.zeros_like(noise))
    return jnp.sum(jax.lax.scan(step, start, y)[1]) + _walk_prior(params, params["start"])


def local_level_states(params: Params, y: Vector) -> Array:
    """The same with the walk among the parameters."""
    walk = params["walk"]
    steps = normal(walk[1:], walk[:-1], params["move"])
    return normal(y, walk, params["noise"]) + steps + _walk_prior(params, walk[0])


def local_level_moves(params: Params, y: Vector) -> Array:
    """The same with the walk's steps in units of their scale."""
    z = params["z"]
    return (
        normal(y, walked(params), params["noise"])
        + normal(z, 0.0, 1.0)
        + _walk_prior(params, params["start"])
    )


def walked(params: Params) -> Array:
    """The walk of those steps."""
    steps = jnp.cumsum(params["z"])
    return params["start"] + params["move"] * jnp.concatenate([jnp.zeros_like(steps[:1]), steps])


def _walk_prior(params: Params, start: Array) -> Array:
    spreads = log_normal(params["noise"], 5.0, 1.0) + log_normal(params["move"], 4.0, 1.0)
    return normal(start, 1000.0, 500.0) + spreads


def gaussian_process(params: Params, x: Vector, y: Vector) -> Array:
    """The marginal likelihood of a squared-exponential kernel and noise."""
    amplitude, length, noise = params["amplitude"], params["length"], params["noise"]
    apart = (x[:, None] - x) / length
    kernel = amplitude**2 * jnp.exp(-0.5 * apart**2)
    root = jnp.linalg.cholesky(kernel + noise**2 * jnp.eye(len(x), dtype=x.dtype))
    z = jax.scipy.linalg.solve_triangular(root, y, lower=True)
    prior = log_normal(amplitude, 4.0, 1.0) + log_normal(length, 2.0, 1.0)
    likelihood = -0.5 * jnp.sum(z * z) - jnp.sum(jnp.log(jnp.diagonal(root)))
    return likelihood + prior + log_normal(noise, 3.0, 1.0)


def two_normals(params: Params, y: Vector) -> Array:
    """A mixture of two normal distributions with ordered locations."""
    loc, scale, weight = params["loc"], params["scale"], params["weight"]
    terms = jnp.log(weight) + norm.logpdf(y[:, None], loc, scale)
    prior = normal(loc, 70.0, 50.0) + log_normal(scale, 2.0, 1.0) + jnp.sum(jnp.log(weight))
    return jnp.sum(jax.nn.logsumexp(terms, -1)) + prior


def multinomial(params: Params, counts: Vector) -> Array:
    """With a uniform prior on the simplex."""
    return jnp.sum(counts * jnp.log(params["shares"]))


def dirichlet_multinomial(params: Params, counts: Matrix) -> Array:
    """Rows of counts whose shares are drawn from one Dirichlet distribution, integrated out."""
    a = params["concentration"]
    rows = gammaln(jnp.sum(a)) - gammaln(jnp.sum(a) + jnp.sum(counts, -1))
    return jnp.sum(rows) + jnp.sum(gammaln(a + counts) - gammaln(a)) + log_normal(a, 0.0, 1.5)


def correlated(params: Params, y: Matrix) -> Array:
    """A multivariate normal by scales and the factor of its correlation, LKJ(2)."""
    loc, scale, tril = params["loc"], params["scale"], params["tril"]
    root = scale[:, None] * tril
    z = jax.scipy.linalg.solve_triangular(root, (y - loc).T, lower=True)
    likelihood = -0.5 * jnp.sum(z * z) - len(y) * jnp.sum(jnp.log(jnp.diagonal(root)))
    n = len(loc)
    powers = jnp.arange(n - 1, -1, -1, dtype=y.dtype) + 2.0
    lkj = jnp.sum((powers * jnp.log(jnp.diagonal(tril)))[1:])
    return likelihood + lkj + normal(loc, 0.0, 10.0) + log_normal(scale, -1.0, 1.0)


def probit(params: Params, columns: Matrix, y: Vector, widths: Vector) -> Array:
    """Probit regression."""
    eta = columns @ params["beta"]
    return jnp.sum(log_ndtr((2 * y - 1) * eta)) + normal(params["beta"], 0.0, widths)
