"""The registry of closed forms: the only global state of the package."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array

_RULES: dict[tuple[type, ...], Callable[..., Array | None]] = {}


def rule(functional: type, *operands: type) -> Callable[[Callable], Callable]:
    """Registers the decorated `(functional, *operands) -> value` as the closed form of the types.

    The most specific entry serves; a test over the registry checks that there always is one. It
    returns None for members of the types that it does not serve after all.
    """

    def register(fn: Callable[..., Array | None]) -> Callable[..., Array | None]:
        entry = (functional, *operands)
        if entry in _RULES:
            raise ValueError(f"two rules for {tuple(t.__name__ for t in entry)}")
        _RULES[entry] = fn
        return fn

    return register


def find_rule(functional: Any, *operands: Any) -> Callable[..., Array | None] | None:
    """The most specific rule for the types of the arguments, or None."""
    args = (functional, *operands)
    fits = [entry for entry in _RULES if matches(entry, args)]
    if not fits:
        return None
    return _RULES[max(fits, key=lambda entry: tuple(len(t.__mro__) for t in entry))]


def matches(entry: tuple[type, ...], args: tuple[Any, ...]) -> bool:
    return len(entry) == len(args) and all(
        isinstance(a, t) for a, t in zip(args, entry, strict=True)
    )


def registered() -> tuple[tuple[type, ...], ...]:
    """Every entry `(functional, *operands)`: what the tests and the tables are generated from."""
    return tuple(_RULES)
