"""What a compiled program costs, counted from its text.

`Compiled.cost_analysis()` is empty on CUDA and takes a loop's body once. Here each instruction
that runs reads its operands and writes its result; a loop's body counts as often as it runs; a
fusion that reads or writes only a slice of an array counts the slice. On a program without loops
that is what `cost_analysis` counts on a TPU, which a test checks.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

# Name an array that is there already, or are counted at another instruction.
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id",
    "replica-id", "iota", "copy-done", "optimization-barrier",
}  # fmt: skip
_COLLECTIVES = {
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute",
    "collective-broadcast", "ragged-all-to-all",
}  # fmt: skip
_TRANSCENDENTAL = {
    "exponential", "exponential-minus-one", "log", "log-plus-one", "power", "sqrt", "rsqrt", "cbrt",
    "tanh", "sine", "cosine", "tan", "logistic", "atan2", "erf",
}  # fmt: skip
_ARITHMETIC = {
    "abs", "add", "and", "ceil", "clamp", "compare", "convert", "divide", "floor", "is-finite",
    "maximum", "minimum", "multiply", "negate", "not", "or", "remainder", "round-nearest-even",
    "select", "shift-left", "shift-right-arithmetic", "shift-right-logical", "sign", "subtract",
    "xor", "reduce-precision", "round-nearest-afz",
}  # fmt: skip

_HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)$")
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")
_NESTED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r"known_trip_count\W+n\W+(\d+)")


def _bits(dtype: str) -> int:
    if dtype == "pred":
        return 8
    digits = re.match(r"[a-z]+(\d+)", dtype)
    return int(digits[1]) if digits else 0  # tokens


@dataclass
class Instruction:
    """One line of the text."""

    name: str
    opcode: str
    shapes: list[tuple[str, int]]  # dtype and number of elements of each array
    operands: list[str]
    called: list[str]
    number: int  # of a parameter or of a tuple's element, or the value of an integer constant
    is_root: bool
    trips: int | None
    condition: str
    direction: str

    @property
    def bytes(self) -> float:
        return sum(_bits(dtype) / 8 * size for dtype, size in self.shapes)

    @property
    def size(self) -> int:
        return sum(size for _, size in self.shapes)

    @property
    def collective(self) -> bool:
        return self.opcode.removesuffix("-start") in _COLLECTIVES


Computation = dict[str, Instruction]


def _instruction(line: str) -> Instruction | None:
    line = re.sub(r"/\*.*?\*/", "", line)
    found = _INSTRUCTION.match(line)
    if not found:
        return None
    root, name, shape, opcode, rest = found.groups()
    depth, end = 1, 0
    while depth and end < len(rest):
        depth += {"(": 1, ")": -1}.get(rest[end], 0)
        end += 1
    inside, attributes = rest[: end - 1], rest[end:]
    shape = re.sub(r"\{[^{}]*\}", "", shape)
    shapes = [
        (dtype, prod(map(int, dims.split(","))) if dims else 1)
        for dtype, dims in _ARRAY.findall(shape)
    ]
    called = _NESTED.findall(attributes)
    for branches in _BRANCHES.findall(attributes):
        called += re.findall(r"[\w.-]+", branches)
    trips = _TRIPS.search(attributes)
    return Instruction(
        name=name,
        opcode=opcode,
        shapes=shapes,
        operands=re.findall(r"%([\w.-]+)", inside),
        called=called,
        number=int(_first(r"\bindex=(\d+)", attributes) or (inside if inside.isdecimal() else 0)),
        is_root=bool(root),
        trips=int(trips[1]) if trips else None,
        condition=_first(r"\bcondition=%?([\w.-]+)", attributes),
        direction=_first(r"\bdirection=(\w+)", attributes),
    )


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


class Program:
    """The program of one device."""

    def __init__(self, compiled: Any):
        self.text: str = compiled.as_text()
        self.entry = ""
        self.computations: dict[str, Computation] = {}
        current: Computation = {}
        for line in self.text.splitlines():
            head = _HEAD.match(line)
            if head:
                current = self.computations[head[2]] = {}
                self.entry = head[2] if head[1] else self.entry
            elif instruction := _instruction(line):
                current[instruction.name] = instruction

    @cached_property
    def traffic(self) -> float:
        """Bytes of device memory read and written."""
        return self._traffic(self.entry)

    @cached_property
    def flops(self) -> float:
        """Arithmetic operations on elements, comparisons and conversions included."""
        return self._flops(self.entry, _ARITHMETIC)

    @cached_property
    def transcendentals(self) -> float:
        """Exponentials, logarithms and their like."""
        return self._flops(self.entry, _TRANSCENDENTAL)

    def _trips(self, i: Instruction) -> int:
        """How often an instruction runs what it calls."""
        if i.opcode != "while" or i.trips is not None:
            return i.trips or 1
        # The TPU compiler does not say: the condition is `counter < constant`, from 0 in JAX.
        condition, root = self.computations[i.condition], self._root(i.condition)
        constants = [j for j in map(condition.get, root.operands) if j and j.opcode == "constant"]
        if root.opcode != "compare" or root.direction != "LT" or len(constants) != 1:
            raise ValueError(f"{i.name}: a loop of unknown length")
        return constants[0].number

    # Traffic.

    def _traffic(self, name: str) -> float:
        computation = self.computations[name]
        return sum(self._moved(computation, i) for i in computation.values())

    def _moved(self, computation: Computation, i: Instruction) -> float:
        opcode = i.opcode.removesuffix("-start")
        read = [computation[name].bytes for name in i.operands if name in computation]
        if opcode in _FREE or opcode.endswith(("-done", "-update")):
            return 0
        if opcode == "while":
            return self._trips(i) * sum(map(self._traffic, i.called))
        if opcode == "conditional":
            return max(map(self._traffic, i.called))
        if opcode in ("call", "async"):
            return sum(map(self._traffic, i.called))
        if opcode == "fusion":
            return self._fusion(i.called[0], read)
        if opcode in ("slice", "dynamic-slice", "gather"):
            return 2 * i.bytes
        if opcode == "dynamic-update-slice":
            return 2 * read[1]
        if opcode == "scatter":
            return sum(read[1:]) + read[-1] * 2
        if i.opcode != opcode:  # the result of a start holds the operands too
            return 2 * sum(read)
        return sum(read) + i.bytes

    def _fusion(self, name: str, read: list[float]) -> float:
        inside, root = self.computations[name], self._root(name)
        parameters = [i for i in inside.values() if i.opcode == "parameter"]
        outputs = [inside[name] for name in root.operands] if root.opcode == "tuple" else [root]
        return sum(self._slice_read(inside, p, read[p.number]) for p in parameters) + sum(
            self._slice_written(inside, output) for output in outputs
        )

    def _slice_read(self, inside: Computation, array: Instruction, whole: float) -> float:
        """The bytes that a fusion reads of one of its operands."""
        total = 0.0
        for user in inside.values():
            if array.name not in user.operands:
                continue
            is_sliced = user.operands[0] == array.name
            if is_sliced and user.opcode in ("dynamic-slice", "slice", "gather"):
                total += user.bytes
            elif user.opcode == "bitcast":
                total += self._slice_read(inside, user, whole)
            elif not (is_sliced and user.opcode == "dynamic-update-slice"):  # which is in place
                return whole
        return min(total, whole)

    def _slice_written(self, inside: Computation, output: Instruction) -> float:
        while output.opcode == "bitcast":
            output = inside[output.operands[0]]
        if output.opcode == "dynamic-update-slice":
            return inside[output.operands[1]].bytes
        return output.bytes

    # Arithmetic.

    def _flops(self, name: str, counted: set[str]) -> float:
        computation = self.computations[name]
        return sum(self._work(computation, i, counted) for i in computation.values())

    def _work(self, computation: Computation, i: Instruction, counted: set[str]) -> float:
        if i.opcode in counted:
            return i.size
        inner = sum(self._flops(name, counted) for name in i.called)
        if i.opcode in ("reduce", "reduce-window"):
            arrays = [computation[name] for name in i.operands[: len(i.operands) // 2]]
            return inner * (arrays[0].shapes[0][1] - i.shapes[0][1])
        if i.collective:
            return 0
        return inner * self._trips(i)

    # Collectives.

    @cached_property
    def exchanged(self) -> list[int]:
        """The number of elements of each array that a device contributes to a collective."""
        return [
            size
            for computation in self.computations.values()
            for i in computation.values()
            if i.collective
            for operand in i.operands
            if operand in computation
            for _, size in computation[operand].shapes
        ]

    @cached_property
    def rounds(self) -> int:
        """The longest chain of collectives of which each needs a result of the one before.

        By the arrays, not by the instructions: those that combine several arrays would else wait
        for what they do not need.
        """
        return self._last_round(self.entry, {})

    def _last_round(self, name: str, arguments: dict[int, Any]) -> int:
        return max(map(_latest, self._rounds(name, arguments).values()), default=0)

    def _rounds(self, name: str, arguments: dict[int, Any]) -> dict[str, Any]:
        """The round after which each value is there: a number, or for a tuple a list of them."""
        after: dict[str, Any] = {}
        for i in self.computations[name].values():
            before = [after.get(operand, 0) for operand in i.operands]
            if i.opcode == "parameter":
                after[i.name] = arguments.get(i.number, 0)
            elif i.opcode == "tuple":
                after[i.name] = before
            elif i.opcode == "get-tuple-element" and isinstance(before[0], list):
                after[i.name] = before[0][i.number]
            elif i.opcode == "get-tuple-element" or i.opcode.endswith("-done"):
                after[i.name] = before[0]
            elif i.collective:
                rounds = [_latest(operand) + 1 for operand in before]
                after[i.name] = rounds if len(rounds) > 1 else rounds[0]
            elif i.opcode in ("fusion", "call"):
                inner = self._rounds(i.called[0], dict(enumerate(before)))
                after[i.name] = inner[self._root(i.called[0]).name]
            else:
                inner = max((self._last_round(called, {}) for called in i.called), default=0)
                after[i.name] = _latest(before) + inner * self._trips(i)
        return after

    def _root(self, name: str) -> Instruction:
        return next(i for i in self.computations[name].values() if i.is_root)


def _latest(rounds: Any) -> int:
    return max(map(_latest, rounds), default=0) if isinstance(rounds, list) else rounds
