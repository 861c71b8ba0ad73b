"""What is looked at, when: tags and shapes always, values where they are asked for."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import checkify

from .base import AbstractOperand

# Part of the key of every jit cache: a function compiled without checks is not reused with them.
_checking = jax.make_user_context(default_value=False)

_TAGS = (
    "probs(...), log_probs(...), logits(...), masses(...), labels(...), samples(...), "
    "PointMass(...) or a distribution"
)


def check_operand(name: str, operand: Any) -> None:
    """Raises for what is not an operand; adds run-time checks of its values under `checked`."""
    if not isinstance(operand, AbstractOperand):
        got = f"an array of shape {jnp.shape(operand)}" if _is_array(operand) else repr(operand)
        raise TypeError(
            f"{name} must say what it is, got {got}: tag it with {_TAGS}. Probabilities and logits "
            "look alike, and one taken for the other is a silent error."
        )
    operand.batch_shape  # noqa: B018  (its shapes are checked here)
    if _checking.value:
        for bad, message in operand.value_checks():
            checkify.check(~jnp.any(bad), f"{name}: {message}")


def _is_array(x: Any) -> bool:
    return isinstance(x, (int, float)) or hasattr(x, "__array__")


def checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, with the values of every operand in it checked at run time.

    Negative and NaN masses, rows that do not sum to 1 within rounding, labels out of range, scales
    that are not positive: the first of them raises `jax.experimental.checkify.JaxRuntimeError`,
    eager and jitted alike. Costs a pass over each operand and a device sync a call.

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
