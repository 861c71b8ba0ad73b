"""The program `jaxdiv`; `python -m jaxdiv` is the same."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit code.

    Args:
        argv: the arguments after the program's name; those of the process if None.

    Returns:
        0; 2 where the input cannot be used, 1 where no optimum was found, each with one line on
        stderr.

    Example:
        >>> from jaxdiv.__main__ import main
        >>> main(["fit", "--target", "nowhere"])
        2
    """
    try:
        from ._cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(
            f"jaxdiv: the command line needs {error.name}: pip install 'jaxdiv[cli]'",
            file=sys.stderr,
        )
        return 2
    return run(sys.argv[1:] if argv is None else list(argv))


if __name__ == "__main__":
    sys.exit(main())
