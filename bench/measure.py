"""How one function is timed: under JAX, under torch, with NumPy, or as a whole process.

An adapter is `(function, arrays, mode) -> Timed`; a rival's file names one for each case.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

ROUND_S = 0.05  # one round repeats a fast function for about this long


@dataclass(frozen=True)
class Timed:
    """A function made ready: called once for its answers, and once a round for the figure."""

    call: Callable[[], Any]
    answers: Callable[[Any], list[np.ndarray]] | None = None
    temp_bytes: int | None = None
    figure: Callable[[], float] | None = None

    def sample(self) -> float:
        """The figure of one round: seconds a call, unless the case counts something else."""
        if self.figure is not None:
            return self.figure()
        count, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < ROUND_S or not count:
            self.call()
            count += 1
        return spent / count


def _floats(arrays: dict[str, np.ndarray]) -> list[int]:
    return [i for i, x in enumerate(arrays.values()) if np.issubdtype(x.dtype, np.floating)]


def with_jax(fn: Callable, arrays: dict[str, np.ndarray], mode: str = "forward") -> Timed:
    """Compiled ahead of time; the temporary memory is XLA's own account of it."""
    import jax

    args, floats = [jax.numpy.asarray(x) for x in arrays.values()], _floats(arrays)

    def of_floats(*args):
        def closed(*chosen):
            full = list(args)
            for i, x in zip(floats, chosen, strict=True):
                full[i] = x
            return fn(*full)

        return jax.vjp(closed, *(args[i] for i in floats))

    def value_and_gradient(*args):
        value, pull = of_floats(*args)
        return value, *pull(jax.numpy.ones_like(value))

    if mode == "forward":
        program, given = fn, args
    elif mode == "backward":
        value, pull = jax.jit(of_floats)(*args)
        program, given = lambda pull, one: pull(one), (pull, jax.numpy.ones_like(value))
    else:
        program, given = value_and_gradient, args
    compiled = jax.jit(program).lower(*given).compile()
    memory = compiled.memory_analysis()
    return Timed(
        lambda: jax.block_until_ready(compiled(*given)),
        lambda out: [np.asarray(x) for x in jax.tree.leaves(out)],
        None if memory is None else memory.temp_size_in_bytes,
    )


def with_torch(fn: Callable, arrays: dict[str, np.ndarray], mode: str = "forward") -> Timed:
    """Eager, as torch is used; backward is the pass alone, over a kept graph."""
    import torch

    floats = _floats(arrays)
    args = [torch.from_numpy(x) for x in arrays.values()]
    if mode == "forward":

        def forward():
            with torch.no_grad():
                return [fn(*args)]

        return Timed(forward, lambda out: [out[0].numpy()])
    chosen = [args[i].requires_grad_() for i in floats]
    kept = fn(*args).sum()

    def full():
        value = fn(*args)
        return value, *torch.autograd.grad(value.sum(), chosen)

    def backward():
        return torch.autograd.grad(kept, chosen, retain_graph=True)

    return Timed(
        backward if mode == "backward" else full,
        lambda out: [x.detach().numpy() for x in out],
    )


def with_numpy(fn: Callable, arrays: dict[str, np.ndarray], mode: str = "forward") -> Timed | None:
    """Called as it is; there are no gradients."""
    args = list(arrays.values())
    return Timed(lambda: fn(*args), _as_list) if mode == "forward" else None


def eagerly(fn: Callable, arrays: dict[str, np.ndarray], mode: str = "forward") -> Timed:
    """A JAX function that compiles for itself, called as its user would call it."""
    import jax

    args = [jax.numpy.asarray(x) for x in arrays.values()]
    return Timed(lambda: jax.block_until_ready(fn(*args)), _as_list)


def _as_list(out: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in (out if isinstance(out, tuple) else (out,))]


def counted(fn: Callable[..., int], arrays: dict[str, np.ndarray], mode: str = "forward") -> Timed:
    """The figure is the number that the function returns."""
    return Timed(lambda: None, figure=lambda: float(fn(*arrays.values())))


def importing(module: str) -> Callable[..., Timed]:
    """The seconds that an import adds after `import jax`, in a process of its own."""
    program = (
        "import time, jax; start = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - start)"
    )
    return lambda arrays, mode: Timed(lambda: None, figure=lambda: float(_process("-c", program)))


def process(*arguments: str) -> Callable[..., Timed]:
    """The seconds of `python ARGUMENTS`, from start to end, in an empty folder."""

    def figure() -> float:
        start = time.perf_counter()
        _process(*arguments)
        return time.perf_counter() - start

    return lambda arrays, mode: Timed(lambda: None, figure=figure)


def _process(*arguments: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, capture_output=True, text=True
        )
    if done.returncode:
        raise RuntimeError(f"python {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
    return done.stdout
