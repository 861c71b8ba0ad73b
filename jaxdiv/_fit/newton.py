"""Newton's method with the exact Hessian, in a trust region, as an optax transformation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree

_COLUMNS = 32  # of a Hessian, at once
_ESCAPE = 0.1  # the least move along a direction of negative curvature
_SHORT = 0.01  # a step that is trusted to the model where rounding hides what it gains


class NewtonState(NamedTuple):
    r"""What is known at the best point so far, which is where the parameters stand.

    The Hessian is kept as eigenvalues and eigenvectors, the gradient as `slope` along them.
    `decrement` is $\frac12 g^T H^{-1} g$, the decrease that is left in the units of the objective:
    infinite before the first evaluation and where the Hessian has a negative eigenvalue. The radius
    is 0 once a step is lost in the rounding of the parameters; `finite` says whether the last
    evaluation was, here or not.
    """

    value: Float[Array, ""]
    slope: Float[Array, " n"]
    eigenvalues: Float[Array, " n"]
    eigenvectors: Float[Array, "n n"]
    radius: Float[Array, ""]
    decrement: Float[Array, ""]
    finite: Bool[Array, ""]


def newton(radius: float = 1.0) -> optax.GradientTransformationExtraArgs:
    r"""$x \leftarrow x - Q\, \mathrm{clip}(|\Lambda|^{-1} Q^T g, \pm r)$, with $H = Q \Lambda Q^T$.

    The Hessian is exact and its eigenvalues enter by their absolute values, so that saddle points
    repel. The trust region is a box in the eigenvectors: a nearly flat direction holds up no other.
    A step that does not decrease the objective as the model says, or meets a NaN, is taken back and
    the region shrinks, all by `where`: there is no inner loop, and a step costs one evaluation of
    value, gradient and Hessian together, under `vmap` too.

    Args:
        radius: the first radius $r$, in the units of the parameters.

    Returns:
        A transformation whose `update` needs `value_fn` (as `optax.lbfgs` does), takes `longest`,
        the longest step of each parameter, and whose updates are to be added as they are. The first
        update is zero: it evaluates the starting point.

    Example:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import jaxdiv as jd
        >>> def rosenbrock(x):
        ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        >>> optim, x = jd.newton(), jnp.array([-1.0, 1.0])
        >>> state = optim.init(x)
        >>> for _ in range(30):
        ...     updates, state = optim.update(None, state, x, value_fn=rosenbrock)
        ...     x = optax.apply_updates(x, updates)
        >>> print(x)
        [1. 1.]

    References:
        Dauphin et al. 2014, the saddle-free Newton method; Conn, Gould & Toint 2000, chapter 6.
    """

    def init(params: PyTree) -> NewtonState:
        x, _ = ravel_pytree(params)
        infinite = jnp.array(jnp.inf, x.dtype)
        return NewtonState(
            value=infinite,
            slope=jnp.zeros_like(x),
            eigenvalues=jnp.ones_like(x),
            eigenvectors=jnp.eye(x.size, dtype=x.dtype),
            radius=jnp.array(radius, x.dtype),
            decrement=infinite,
            finite=jnp.array(True),
        )

    def update(
        updates: PyTree,
        state: NewtonState,
        params: PyTree | None = None,
        *,
        value_fn: Callable[[PyTree], Array],
        longest: PyTree | None = None,
        **extra: Any,
    ) -> tuple[PyTree, NewtonState]:
        del updates, extra
        x, unravel = ravel_pytree(params)
        first = jnp.isinf(state.value)
        step, reach, predicted = _propose(
            state, None if longest is None else ravel_pytree(longest)[0]
        )
        value, grad, hessian = second_order(lambda x: value_fn(unravel(x)), x + step)
        # A NaN anywhere is one here.
        finite = jnp.isfinite(value + jnp.sum(grad) + jnp.sum(hessian))
        # Of the last, short steps the objective cannot see the decrease for its own rounding.
        eps = jnp.finfo(x.dtype).eps
        rounding = jnp.where(reach <= _SHORT, 16 * eps * (1 + jnp.abs(value)), 0.0)
        decrease = state.value - value + rounding
        accept = finite & (decrease >= 0.1 * predicted)
        good = accept & ((decrease >= 0.7 * predicted) | first)
        new_radius = jnp.where(good, jnp.maximum(state.radius, 2 * reach), state.radius)
        new_radius = jnp.where(accept | first, new_radius, 0.25 * reach)
        shortest = 64 * eps * (1 + jnp.max(jnp.abs(x), initial=0.0))
        new_radius = jnp.where((reach <= shortest) & ~first, 0.0, new_radius)

        eigenvalues, eigenvectors = eigh(jnp.where(finite, hessian, jnp.eye(x.size, dtype=x.dtype)))
        new_state = NewtonState(
            value=value,
            slope=grad @ eigenvectors,
            eigenvalues=eigenvalues,
            eigenvectors=eigenvectors,
            radius=new_radius,
            decrement=_decrement(grad @ eigenvectors, eigenvalues),
            finite=finite,
        )
        rejected = state._replace(radius=new_radius, finite=finite)
        new_state = jax.tree.map(lambda new, old: jnp.where(accept, new, old), new_state, rejected)
        return unravel(jnp.where(accept, step, 0.0)), new_state

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _propose(
    state: NewtonState, longest: Float[Array, " n"] | None
) -> tuple[Float[Array, " n"], Float[Array, ""], Float[Array, ""]]:
    """The step to try, its largest component, and the decrease that the model promises."""
    slope, eigenvalues, eigenvectors = state.slope, state.eigenvalues, state.eigenvectors
    # Where it curves down, go a little way even if the slope is zero: so a saddle is left.
    least = jnp.where(_is_negative(eigenvalues), jnp.minimum(_ESCAPE, state.radius), 0.0)
    length = jnp.clip(jnp.abs(slope) / _magnitude(eigenvalues), least, state.radius)
    move = jnp.where(slope > 0, -length, length)
    step = eigenvectors @ move
    if longest is not None:
        step = jnp.clip(step, -longest, longest)
        move = step @ eigenvectors
    predicted = -jnp.sum(move * (slope + 0.5 * move * eigenvalues))
    return step, jnp.max(jnp.abs(move), initial=0.0), predicted


def _decrement(slope: Float[Array, " n"], eigenvalues: Float[Array, " n"]) -> Float[Array, ""]:
    terms = 0.5 * slope * slope / _magnitude(eigenvalues)
    return jnp.sum(jnp.where(_is_negative(eigenvalues), jnp.inf, terms))


def _magnitude(eigenvalues: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.maximum(jnp.abs(eigenvalues), jnp.finfo(eigenvalues.dtype).tiny)


def _is_negative(eigenvalues: Float[Array, " n"]) -> Bool[Array, " n"]:
    """Which eigenvalues are negative beyond the rounding of the largest."""
    eps = jnp.finfo(eigenvalues.dtype).eps
    return eigenvalues < -jnp.sqrt(eps) * jnp.max(jnp.abs(eigenvalues), initial=0.0)


def newton_state(state: PyTree) -> NewtonState | None:
    """The state of `newton` within that of an optimiser, None if it has no part in it."""
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, NewtonState))
    return next((node for node in nodes if isinstance(node, NewtonState)), None)


def second_order_at(state: NewtonState) -> tuple[Float[Array, ""], Array, Array]:
    """Value, gradient and Hessian at the point that the state belongs to."""
    vectors = state.eigenvectors
    return state.value, vectors @ state.slope, (vectors * state.eigenvalues) @ vectors.T


def second_order(
    fn: Callable[[Float[Array, " n"]], Float[Array, ""]], x: Float[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, "n n"]]:
    """Value, gradient and Hessian from one trace of `fn`; a large one some columns at a time."""

    def along(direction: Array):
        return jax.jvp(jax.value_and_grad(fn), (x,), (direction,))

    basis = jnp.eye(x.size, dtype=x.dtype)
    if x.size <= _COLUMNS:
        (value, grad), (_, hessian) = jax.vmap(along, out_axes=((None, None), (0, 0)))(basis)
    else:
        values, (_, hessian) = jax.lax.map(along, basis, batch_size=_COLUMNS)
        value, grad = jax.tree.map(lambda rows: rows[0], values)
    return value, grad, 0.5 * (hessian + hessian.T)


def eigh(matrix: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Eigenvalues and eigenvectors of a symmetric matrix; one rotation where `n` is 2.

    A batch of LAPACK calls costs more than the objective where matrices are as small as that.
    """
    if matrix.shape[0] == 1:
        return matrix[0], jnp.ones_like(matrix)
    if matrix.shape[0] > 2:
        return jnp.linalg.eigh(matrix)
    # Golub & Van Loan 2013, section 8.5.2: the smaller of the two angles.
    (a, b), (_, c) = matrix
    gap, twice = c - a, 2 * b
    diagonal = twice == 0
    root = jnp.hypot(gap, twice)
    tangent = jnp.where(gap >= 0, twice, -twice) / jnp.where(diagonal, 1.0, jnp.abs(gap) + root)
    tangent = jnp.where(diagonal, 0.0, tangent)
    cosine = jax.lax.rsqrt(1 + tangent * tangent)
    sine = tangent * cosine
    values = jnp.stack([a - tangent * b, c + tangent * b])
    return values, jnp.stack([jnp.stack([cosine, sine]), jnp.stack([-sine, cosine])])
