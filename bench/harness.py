"""One process per rival, timed in turn, round after round, so that all meet the same machine."""

import multiprocessing
import os
import platform
import statistics
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench.cases import Case
from bench.rivals import OURS, load


@dataclass(frozen=True)
class Row:
    """What one rival did on one case in one mode.

    Attributes:
        figure: the median of the rounds, in the case's unit.
        ratio: the median over the rounds of this rival's figure by ours in the same round.
        error: see the case; `None` where the figure is the answer.
        temp_bytes: temporary memory of the compiled program; `None` outside JAX.
    """

    case: Case
    mode: str
    rival: str
    figure: float
    ratio: float | None
    error: float | None
    temp_bytes: int | None
    rounds: int
    versions: str
    device: str


class Rival:
    """A process of its own that sets cases up and takes samples when asked."""

    def __init__(self, name: str):
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, name), daemon=True)
        self._process.start()
        there.close()
        self.installed, self.about = self._receive()

    def ask(self, *question: Any) -> tuple[bool, Any]:
        """Whether the question was answered, and the answer, or in words why not."""
        self._pipe.send(question)
        return self._receive()

    def stop(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _receive(self) -> tuple[bool, Any]:
        try:
            return self._pipe.recv()
        except EOFError:
            return False, "its process died"


def run(case: Case, mode: str, rivals: list[Rival], rounds: int) -> tuple[list[Row], list[str]]:
    """The rows of every rival that has the case, and what failed, in words."""
    arrays, failures = case.arrays(), []
    ready: dict[Rival, tuple[float | None, int | None]] = {}
    for rival in rivals:
        done, made = rival.ask("setup", case.kind, mode, arrays)
        if not done:
            failures.append(f"{case.name} {mode}: {rival.name}: {made}")
        elif made is not None:
            answers, temp_bytes = made
            error = case.error(mode, arrays, answers) if case.error else None
            ready[rival] = error, temp_bytes
    samples: dict[str, list[float]] = {rival.name: [] for rival in ready}
    for _ in range(rounds):
        for rival in list(ready):
            done, figure = rival.ask("sample")
            if done:
                samples[rival.name].append(figure)
            else:
                failures.append(f"{case.name} {mode}: {rival.name}: {figure}")
                del ready[rival]
    ours = samples.get(OURS)
    rows = []
    for rival, (error, temp_bytes) in ready.items():
        figures = samples[rival.name]
        ratio = None
        if ours and len(ours) == rounds:
            ratio = statistics.median(f / o for f, o in zip(figures, ours, strict=True))
        versions, device = rival.about
        figure = statistics.median(figures)
        rows.append(
            Row(case, mode, rival.name, figure, ratio, error, temp_bytes, rounds, versions, device)
        )
    return rows, failures


def machine() -> tuple[str, int]:
    """The processor's model, and its cores."""
    lines = []
    if (info := Path("/proc/cpuinfo")).exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
    model = lines[0].split(":", 1)[1].strip() if lines else platform.processor()
    return model, os.cpu_count() or 1


def _serve(pipe: Connection, name: str) -> None:
    try:
        rival = load(name)
        versions = " ".join(f"{dist}=={metadata.version(dist)}" for dist in rival.DISTRIBUTIONS)
    except ImportError as missing:
        pipe.send((False, f"not installed ({missing})"))
        return
    pipe.send((True, (versions, _device(rival.DISTRIBUTIONS))))
    timed = None
    while True:
        try:
            question, *rest = pipe.recv()
        except EOFError:
            return
        try:
            if question == "kinds":
                pipe.send((True, list(rival.CASES)))
            elif question == "setup":
                timed, made = _setup(rival.CASES, *rest)
                pipe.send((True, made))
            else:
                pipe.send((True, timed.sample()))
        except Exception as error:  # a rival that fails is a row of the report, not its end
            pipe.send((False, f"{type(error).__name__}: {error}"))


def _setup(cases: dict, kind: str, mode: str, arrays: dict[str, np.ndarray]) -> tuple[Any, Any]:
    timed = cases[kind](arrays, mode) if kind in cases else None
    if timed is None:
        return None, None
    out = timed.call()
    return timed, (timed.answers(out) if timed.answers else None, timed.temp_bytes)


def _device(distributions: tuple[str, ...]) -> str:
    if "jax" not in distributions:
        return "cpu"
    import jax

    return jax.devices()[0].device_kind
