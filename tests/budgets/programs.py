"""The programs that are held to budgets, by the public interface, at N rows of V classes."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import SingleDeviceSharding

import jaxdiv as jd

N, V = 4096, 128256
DTYPES = ("float32", "bfloat16")


def _kl(a, b):
    return jd.kl(jd.logits(a), jd.logits(b))


def _jensen_shannon(a, b):
    return jd.jensen_shannon(jd.logits(a), jd.logits(b))


def _entropy(z):
    return jd.entropy(jd.logits(z))


def _label_cross_entropy(y, z):
    return jd.cross_entropy(jd.labels(y), jd.logits(z))


def _kl_one_pass(a, b):
    return jd.kl(jd.logits(a), jd.logits(b), estimator=jd.OnePass())


# The last argument is the student's.
MEASURES: dict[str, tuple[Any, str]] = {
    "kl": (_kl, "ab"),
    "jensen_shannon": (_jensen_shannon, "ab"),
    "entropy": (_entropy, "z"),
    "label cross_entropy": (_label_cross_entropy, "yz"),
    "kl OnePass": (_kl_one_pass, "ab"),
}


def _mean(f):
    return lambda *xs: f(*xs).mean()


def _scanned(f):
    """The sum over four steps, of a quarter of the rows each."""

    def loss(*xs):
        quarters = [x.reshape(4, -1, *x.shape[1:]) for x in xs]
        return lax.scan(lambda s, x: (s + f(*x).mean(), None), jnp.float32(0), quarters)[0]

    return loss


def modes(measure: str) -> dict[str, Any]:
    """Forward, value and gradient in the student's and in both arguments, gradient of a scan."""
    f, names = MEASURES[measure]
    last = len(names) - 1
    found = {"forward": _mean(f), "student": jax.value_and_grad(_mean(f), last)}
    if names == "ab":
        found["both"] = jax.value_and_grad(_mean(f), (0, 1))
    return found | {"scan": jax.grad(_scanned(f), last)}


def names() -> list[str]:
    """All programs, as MEASURE/MODE."""
    return [f"{measure}/{mode}" for measure in MEASURES for mode in modes(measure)]


def compile_for(device: Any, name: str, dtype: str, options: dict[str, Any] | None = None) -> Any:
    """The compiled program."""
    measure, mode = name.split("/")
    sharding = SingleDeviceSharding(device)
    logits = jax.ShapeDtypeStruct((N, V), dtype, sharding=sharding)
    labels = jax.ShapeDtypeStruct((N,), "int32", sharding=sharding)
    args = [labels if arg == "y" else logits for arg in MEASURES[measure][1]]
    return jax.jit(modes(measure)[mode]).lower(*args).compile(options)
