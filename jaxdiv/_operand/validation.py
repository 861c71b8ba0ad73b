"""What is looked at, when: tags and shapes always, values where they are asked for."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.experimental import checkify
from jaxtyping import Array, ArrayLike

from .._compat.convert import not_an_operand
from .base import AbstractOperand, Check

# Part of the key of every jit cache: a function compiled without checks is not reused with them.
_checking = jax.make_user_context(default_value=False)


def check_operand(name: str, operand: Any) -> None:
    """Raises unless it is an operand; under `checked` adds run-time checks of its values."""
    if not isinstance(operand, AbstractOperand):
        raise TypeError(not_an_operand(name, operand))
    operand.batch_shape  # noqa: B018  (its shapes are checked here)
    if _checking.value:
        for check in operand.value_checks():
            _assert(check, f"{name}: ")


def check_under_checked(check: Check) -> None:
    """For what is known only when two operands meet."""
    if _checking.value:
        _assert(check)


def _assert(check: Check, prefix: str = "") -> None:
    words = check.words("{index}") if check.bad.ndim else check.message
    checkify.check(~jnp.any(check.bad), prefix + words, index=check.first)


def raise_if_bad(values: Array, checks: list[Check]) -> Array:
    """`values`, which cannot be had at run time where a check fails: a `RuntimeError`, with why."""
    bad = jax.lax.stop_gradient(jnp.stack([jnp.any(check.bad) for check in checks]))
    first = [jax.lax.stop_gradient(check.first) for check in checks]

    def report(bad: ArrayLike, *first: ArrayLike) -> np.ndarray:
        bad = np.asarray(bad)
        if bad.any():
            *lane, which = np.argwhere(bad)[0]  # lanes of `vmap` stand first
            index = [*lane, *np.asarray(first[which])[tuple(lane)]]
            check = checks[which]
            raise RuntimeError(check.words(np.array(index)) if index else check.message)
        return np.zeros(bad.shape[:-1], bool)

    if not isinstance(bad, jax.core.Tracer):
        report(bad, *first)
        return values
    shape = jax.ShapeDtypeStruct((), bool)
    failed = jax.lax.cond(
        jnp.any(bad),
        lambda: jax.pure_callback(report, shape, bad, *first, vmap_method="broadcast_all"),
        lambda: jnp.zeros((), bool),
    )
    if jnp.issubdtype(values.dtype, jnp.integer):
        return values + failed.astype(values.dtype)
    return jnp.where(failed, jnp.asarray(jnp.nan, values.dtype), values)


def checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, with the values of every operand in it checked at run time.

    Negative and NaN masses, rows that do not sum to 1 within rounding, `logits` whose every row
    does (softmax would be taken twice), labels out of range, scales that are not positive: the
    first of them raises `jax.experimental.checkify.JaxRuntimeError`, eager and jitted alike. Costs
    a pass over each operand and a device sync a call.

    Args:
        fn: a function that calls this package; it may be jitted or differentiated inside.

    Returns:
        A function of the same arguments and result. Not itself to be jitted: it raises.

    Example:
        >>> import jax, jaxdiv as jd
        >>> safe = jd.checked(lambda p, q: jd.kl(jd.probs(p), jd.probs(q)))
        >>> try:
        ...     safe(jax.numpy.array([0.5, 0.7]), jax.numpy.array([0.5, 0.5]))
        ... except Exception as error:
        ...     print(str(error).splitlines()[0])
        p: probs: a row does not sum to 1 (tag measures `masses`) (`check` failed)
    """
    with_error = checkify.checkify(fn, errors=checkify.user_checks)

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with _checking(True):
            error, out = with_error(*args, **kwargs)
        error.throw()
        return out

    return wrapper
