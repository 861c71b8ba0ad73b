"""What the program says, in one line, instead of a traceback."""


class InputError(Exception):
    """Something that the user gave cannot be used: one line on stderr and exit code 2."""


class FitError(Exception):
    """The input was fine and no optimum was found: one line on stderr and exit code 1."""
