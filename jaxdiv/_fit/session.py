"""Long fits: in chunks that are shown, saved, resumed and interrupted between."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, Key, PyTree

from .loop import Carry
from .program import Options, run
from .solution import Fit

Callback = Callable[[int, np.ndarray], Any]
_PROGRAM = (
    "the compiled program (the code of the objective, the optimiser or its settings, the kind of "
    "device, or the version of jax)"
)


class Session(NamedTuple):
    """How a long fit behaves towards the one who waits for it.

    The fit runs in compiled chunks of `every` steps. After each it may be saved, shown and stopped:
    by the keyboard (Ctrl-C) or by `callback`. One that was stopped is judged and returned as it
    stands, its unfinished starts with the result `interrupted`. Where the steps are cut makes no
    difference to the result, to the bit; nor does a process that is killed, if the fit is run again
    with the same arguments and the same `path`.

    Args:
        path: a file that the fit is saved to after each chunk (atomically) and, if it exists,
            continued from. It may not be of another fit.
        every: steps in a chunk.
        progress: whether to show a progress bar (by rich, of the extra `cli`).
        callback: called after each chunk with the number of steps and the last loss of each start;
            the fit stops where it returns True.

    Example:
        >>> import jaxdiv as jd
        >>> session = jd.Session(every=2, callback=lambda step, losses: step >= 4)
        >>> objective = jd.reverse_kl(jd.Normal(50.0, 0.1))
        >>> found = jd.fit(objective, jd.Normal(0.0, 1.0), session=session)
        >>> print(found.num_steps)
        [4]
    """

    path: str | os.PathLike | None = None
    every: int = 100
    progress: bool = False
    callback: Callback | None = None


def run_in(
    session: Session,
    options: Options,
    dynamic: PyTree,
    key: Key[Array, ""] | None,
    tolerance: Any,
) -> tuple[Fit, bool]:
    """The fit, and whether it was stopped before its end."""
    if session.every < 1:
        raise ValueError(f"Session: `every` must be positive, got {session.every}.")
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((dynamic, key, tolerance))):
        raise TypeError(
            "fit: a session is on the host, and a fit within jit, vmap or grad is not: leave "
            "`session` out there."
        )
    inputs = dynamic, key, tolerance
    carry = run(options, *inputs, finish=False)
    step, total = 0, carry.losses.shape[1]
    span = jnp.array(0), jnp.array(total)
    lowered = run.lower(options, *inputs, carry, span, finish=False)
    path = None if session.path is None else Path(session.path)
    marks = {} if path is None else _marks(options, *inputs, lowered.as_text())
    if path is not None and path.exists():
        step, carry = _load(path, marks, carry)
    advance = lowered.compile()
    stopped = False
    with _bar(session.progress, total) as show:
        try:
            while step < total and np.any(carry.lanes.active) and not stopped:
                last = min(step + session.every, total)
                span = jnp.array(step), jnp.array(last)
                # Not into `carry` before it is there: an interrupt comes while it is waited for.
                after = jax.block_until_ready(advance(*inputs, carry, span))
                step, carry = last, after
                if path is not None:
                    _save(path, marks, step, carry)
                losses = _last_losses(carry)
                show(step, losses)
                if session.callback is not None:
                    stopped = session.callback(step, losses) is True
        except KeyboardInterrupt:
            stopped = True
    return run(options, *inputs, carry), stopped


def _last_losses(carry: Carry) -> np.ndarray:
    losses, steps = np.asarray(carry.losses), np.asarray(carry.lanes.num_steps)
    return losses[np.arange(len(losses)), np.maximum(steps - 1, 0)]


def _marks(options: Options, dynamic: PyTree, key: Any, tolerance: Any, program: str) -> dict:
    """What a saved fit must have in common with the one that continues it, by name."""
    objective, family, starts, _ = dynamic
    values = {
        "the objective": objective,
        "the family": family,
        "`starts`": (options.num_starts, starts),
        "`num_steps`": options.num_steps,
        "`record`": options.record,
        "`key`": None if key is None else jax.random.key_data(key),
        "`tolerance`": tolerance,
        _PROGRAM: (jax.__version__, jax.default_backend(), program),
    }
    return {name: _digest(value) for name, value in values.items()}


def _digest(tree: PyTree) -> str:
    """A hash of the values of a pytree, its strings included, and of their places."""
    sha = hashlib.sha256()
    for path, leaf in jtu.tree_flatten_with_path(tree)[0]:
        sha.update(jtu.keystr(path).encode())
        if isinstance(leaf, str):
            sha.update(leaf.encode())
        else:
            array = np.asarray(leaf)
            sha.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return sha.hexdigest()


def _save(path: Path, marks: dict, step: int, carry: Carry) -> None:
    """Written beside and renamed: a file that is there is whole."""
    beside = path.with_name(path.name + ".partial")
    with open(beside, "wb") as file:
        file.write(json.dumps({"step": step, "marks": marks}).encode() + b"\n")
        eqx.tree_serialise_leaves(file, carry)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _load(path: Path, marks: dict, like: Carry) -> tuple[int, Carry]:
    with open(path, "rb") as file:
        try:
            header = json.loads(file.readline())
            step, saved = header["step"], header["marks"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"fit: {path} is not a saved fit: give another path.") from None
        different = [name for name in marks if marks[name] != saved.get(name)]
        if different:
            # The program follows from all else: it is named only where nothing else differs.
            named = [name for name in different if name != _PROGRAM] or different
            raise ValueError(
                f"fit: {path} holds a fit that differs from this one in {', '.join(named)}. Give "
                "it the same arguments, or another path, or delete the file."
            )
        return step, eqx.tree_deserialise_leaves(file, like)


@contextlib.contextmanager
def _bar(progress: bool, total: int) -> Iterator[Callable[[int, np.ndarray], None]]:
    if not progress:
        yield lambda step, losses: None
        return
    try:
        from rich import progress as rich
    except ImportError:
        raise ImportError(
            "fit: the progress bar is drawn by rich: pip install 'jaxdiv[cli]', or leave "
            "`progress` out."
        ) from None
    columns = (
        rich.TextColumn("step {task.completed}/{task.total}"),
        rich.BarColumn(),
        rich.TextColumn("{task.description}"),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns) as bar:
        task = bar.add_task("", total=total)

        def show(step: int, losses: np.ndarray) -> None:
            known = losses[~np.isnan(losses)]
            words = f"objective {known.min():.6g}" if known.size else "objective not finite"
            bar.update(task, completed=step, description=words)

        yield show
