r"""The KL divergence of normals in parts: of the means, of the scales and of the correlations.

Each part is what the best change of Q of one kind saves: first its location is moved, then its
coordinates are rescaled, and what is left is due to the correlations alone.

With $\Sigma = \mathrm{diag}(\sigma)\,R\,\mathrm{diag}(\sigma)$, $\rho = \sigma_p / \sigma_q$ and
$A = R_q^{-1} \circ R_p$ (entry by entry; positive definite by Schur's theorem),

$$\mathrm{KL}(P\|Q) = \tfrac12 (\mu_p - \mu_q)^T \Sigma_q^{-1} (\mu_p - \mu_q) + h(\rho)
- \tfrac12 (D + \log\det R_p / \det R_q), \quad
h(x) = \tfrac12 x^T A x - \textstyle\sum_i \log x_i.$$

To rescale Q is to move $\rho$ to any positive $x$. The function $h$ is strictly convex, so there is
a single best $x$, at which $x_i (Ax)_i = 1$: the scaling of Marshall & Olkin (1968, "Scaling of
matrices to achieve specified row and column sums"). With $u = \rho / x$,

$$h(\rho) - h(x) = \textstyle\sum_i (u_i - 1 - \log u_i)
+ \tfrac12 (\rho - x)^T A (\rho - x) \ge 0$$

is what it saves, and what is left, $h(x) - \frac12(D + \log\det R_p / \det R_q) \ge 0$, is the KL
divergence of P from Q so moved and rescaled: a function of the two correlation matrices, 0 only
where they are equal. Where $R_q = I$ the best scales are P's own, so that the scale part is the
sum of those of the coordinates and the last part $-\frac12 \log\det R_p$, P's total correlation
(Watanabe 1960). The best scales depend on both correlation matrices: where these differ, the scale
part may be positive although the standard deviations are equal.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._operand.base import floating
from .._operand.independent import Independent, as_multivariate
from .._operand.multivariate_normal import MultivariateNormal, _match, _solve, _whiten
from .._operand.normal import Normal, log_det_divergence
from .._special import phi
from .._special.base import log1p

Terms = dict[str, Array]
_MOST_STEPS = 100


def terms_of_normals(p: Any, q: Any) -> Terms | None:
    """Of two that are normal, of any kind; None of others.

    `mean` and `scale` are given for each coordinate where Q has no correlations.
    """
    if isinstance(p, Normal) and isinstance(q, Normal):
        return _of_coordinates(p.loc, p.scale, q.loc, q.scale)
    if isinstance(q, Independent) and isinstance(q.base, Normal):
        loc_q, scale_q = _flat(q)
        if isinstance(p, MultivariateNormal) and q.ndims == 1:
            tril = p.factor()
            terms = _of_coordinates(p.loc, _scales(tril), loc_q, scale_q)
            return terms | {"correlation": _total_correlation(tril)}
        if isinstance(p, Independent) and isinstance(p.base, Normal):
            return _of_coordinates(*_flat(p), loc_q, scale_q)
    p, q = (as_multivariate(d) for d in (p, q))
    return None if p is None or q is None else _of_matrices(p, q)


def _flat(d: Any) -> tuple[Array, Array]:
    """Location and scale of a product of normals, with all of its event on one axis."""
    loc, scale = jnp.broadcast_arrays(*floating(d.base.loc, d.base.scale))
    return loc.reshape(*d.batch_shape, -1), scale.reshape(*d.batch_shape, -1)


def _of_coordinates(loc_p: Any, scale_p: Any, loc_q: Any, scale_q: Any) -> Terms:
    loc_p, scale_p, loc_q, scale_q = floating(loc_p, scale_p, loc_q, scale_q)
    z = (loc_p - loc_q) / scale_q
    mean, scale = jnp.broadcast_arrays(0.5 * z * z, log_det_divergence(scale_p, scale_q))
    return {"mean": mean, "scale": scale}


def _of_matrices(p: MultivariateNormal, q: MultivariateNormal) -> Terms:
    tril_p, tril_q = _match(*floating(p.factor(), q.factor()))
    z, _ = _whiten(p, q, tril_p)
    scale_p, scale_q = _scales(tril_p), _scales(tril_q)
    root_p, root_q = tril_p / scale_p[..., None], tril_q / scale_q[..., None]
    # Differences, of the digits that those of the factors have: P and Q may be near each other.
    apart = tril_p - tril_q
    gap = jnp.sum(apart * (tril_p + tril_q), -1) / (scale_p + scale_q)
    turned = apart / scale_p[..., None] - root_q * (gap / scale_p)[..., None]
    inverse = _solve(root_q, jnp.broadcast_to(jnp.eye(z.shape[-1], dtype=z.dtype), root_q.shape))
    inverse = inverse.mT @ inverse
    more = turned @ root_p.mT + root_q @ turned.mT  # R_p - R_q
    y = _best_scaling(inverse * (root_p @ root_p.mT), jnp.sum(inverse * more, -1))
    x, rest = 1 + y, gap / scale_q - y  # rho - x
    cross = _solve(root_q, rest[..., None] * root_p)
    relative = _solve(root_q / x[..., None], turned + root_q * (y / x)[..., None])
    diagonals = (jnp.diagonal(root, axis1=-2, axis2=-1) for root in (root_p, root_q, relative))
    of_p, of_q, t = diagonals
    return {
        "mean": 0.5 * jnp.sum(z * z, -1),
        "scale": _half_square(cross) + _excess(rest / x, scale_p / scale_q / x),
        "correlation": _half_square(relative) + _excess(t, of_p / of_q * x),
    }


def _half_square(matrix: Array) -> Float[Array, "*batch"]:
    return 0.5 * jnp.sum(matrix * matrix, (-2, -1))


def _excess(t: Array, ratio: Array) -> Float[Array, "*batch"]:
    r"""$\sum t - \log(1 + t)$, from $1 + t$ itself where $t$ has not its digits."""
    near = abs(t) < 0.5
    far = t - jnp.log(jnp.where(near, 1.0, ratio))
    return jnp.sum(jnp.where(near, phi(jnp.where(near, t, 0.0)), far), -1)


def _scales(tril: Array) -> Float[Array, "*batch D"]:
    """The standard deviations."""
    return jnp.sqrt(jnp.sum(tril * tril, -1))


def _total_correlation(tril: Array) -> Float[Array, "*batch"]:
    r"""$-\frac12 \log\det R$: the sum of $\log \sigma_i / L_{ii}$."""
    diagonal = jnp.diagonal(tril, axis1=-2, axis2=-1)
    excess = jnp.sum(jnp.tril(tril, -1) ** 2, -1) / diagonal**2
    return 0.5 * jnp.sum(log1p(excess), -1)


def _best_scaling(
    a: Float[Array, "*batch D D"], excess: Float[Array, "*batch D"]
) -> Float[Array, "*batch D"]:
    r"""$y = x - 1$ for the $x > 0$ with $x_i (Ax)_i = 1$; `excess` is $\sum_j A_{ij} - 1$.

    By damped Newton steps on $h$, which is self-concordant.
    """
    held = lax.stop_gradient((a, excess))

    def step(a: Array, excess: Array, y: Array) -> tuple[Array, Array]:
        """Newton's, and its decrement."""
        slope = excess + jnp.einsum("...ij,...j->...i", a, y) + y / (1 + y)
        curvature = held[0] + jnp.eye(y.shape[-1], dtype=y.dtype) / ((1 + y) ** 2)[..., None]
        move = jnp.linalg.solve(curvature, slope[..., None])[..., 0]
        return move, jnp.sum(move * slope, -1, keepdims=True)

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        y, decrement, count = state
        return (count < _MOST_STEPS) & jnp.any(decrement > jnp.finfo(y.dtype).eps)

    def proceed(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        y, _, count = state
        move, decrement = step(*held, y)
        size = jnp.sqrt(jnp.maximum(decrement, 0))
        # Undamped where Newton's steps converge quadratically.
        return y - move / jnp.where(size < 0.25, 1, 1 + size), decrement, count + 1

    # From the inverse roots of the diagonal of A, where its entries are far apart.
    diagonal = jnp.diagonal(held[0], axis1=-2, axis2=-1)
    start = -(diagonal - 1) / (diagonal + jnp.sqrt(diagonal))
    first = (start, jnp.full_like(start[..., :1], jnp.inf), jnp.zeros((), int))
    y = lax.while_loop(unfinished, proceed, first)[0]
    # Two more steps for the last digits; the derivative of the last is that of the solution.
    y = y - step(*held, y)[0]
    return y - step(a, excess, y)[0]
