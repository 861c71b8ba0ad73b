"""The data that comes with the package."""

import importlib.resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class OldFaithful(NamedTuple):
    """The two columns of Old Faithful, one entry an eruption, in minutes."""

    eruptions: Float[np.ndarray, " 272"]
    waiting: Float[np.ndarray, " 272"]


def old_faithful() -> OldFaithful:
    """Durations of 272 eruptions of the Old Faithful geyser and the waiting times to the next.

    Returns:
        `eruptions` and `waiting`, in minutes, as NumPy float64 arrays.

    Example:
        >>> from jaxdiv._data import old_faithful
        >>> data = old_faithful()
        >>> data.eruptions.shape, float(data.eruptions.min()), float(data.waiting.max())
        ((272,), 1.6, 96.0)

    Reference:
        A. Azzalini and A. W. Bowman (1990), "A look at some data on the Old Faithful geyser",
        Applied Statistics 39(3), 357-365.
    """
    source = importlib.resources.files("jaxdiv") / "data" / "old_faithful.csv"
    with source.open(encoding="utf-8") as lines:
        columns = np.loadtxt(lines, delimiter=",", skiprows=1, unpack=True)
    return OldFaithful(*columns)
