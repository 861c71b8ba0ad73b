"""Where what a caller passes becomes an operand: the one seam for other things than operands."""

from typing import Any

from .product import Product, converted
from .validation import check_operand


def as_operand(name: str, x: Any) -> Any:
    """The operand that `x` is or stands for; `TypeError` for anything else, by its name."""
    parts = x.parts if isinstance(x, Product) else x
    if isinstance(parts, dict):
        parts = {k: as_operand(f"{name}[{k!r}]", part) for k, part in parts.items()}
        x = parts
    x = converted(x)
    check_operand(name, x)
    return x


def as_operands(*xs: Any) -> tuple[Any, ...]:
    """The arguments `p`, or `p` and `q`, as operands."""
    return tuple(as_operand(name, x) for name, x in zip("pq", xs, strict=False))
