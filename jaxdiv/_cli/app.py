"""The commands and their options."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from .errors import FitError, InputError
from .record import installed_version

# `UsageError`, from which every complaint about options derives; typer does not export its name.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="jaxdiv",
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How far apart two distributions are, and one fitted to the other.",
)


def run(argv: Sequence[str]) -> int:
    """Runs the program with these arguments; a mistake is one line on stderr, no traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # where ‖ cannot be written
    try:
        return app(list(argv), prog_name="jaxdiv", standalone_mode=False) or 0
    except _UsageError as error:
        return _complain(error.format_message(), 2)
    except InputError as error:
        return _complain(str(error), 2)
    except FitError as error:
        return _complain(str(error), 1)
    except BrokenPipeError:
        # The reader went away (`jaxdiv fit | head`); nothing more can be written, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted.", 130)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"jaxdiv {installed_version() or '(not installed)'}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def fit(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="A CSV file; without one, Old Faithful's 272 eruptions.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="faithful", help="Instead of a file: both Old Faithful's columns."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Which column, where several hold numbers; given again, one more, for a target "
            "in as many dimensions. Old Faithful has eruptions (taken unless told) and waiting.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="sym1d|asym1d", help="Instead of data: a mixture known exactly."),
    ] = None,
    density: Annotated[
        str | None,
        typer.Option(
            metavar="mixture:K|kde",
            help="How the data's density is estimated: K Gaussians by maximum likelihood "
            "(mixture:2 unless told) or a Gaussian kernel.",
        ),
    ] = None,
    bandwidth: Annotated[
        str | None,
        typer.Option(
            metavar="silverman|scott|FLOAT",
            help="The kernel's standard deviation: silverman (unless told) and scott are the "
            "rules of scipy.stats.gaussian_kde, a number is in the data's units.",
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            metavar="normal|mvn|student_t|mixture:K",
            help="What is fitted: a normal for each column (of one column unless told), a "
            "multivariate normal (of several), Student's t, or a mixture of K Gaussians.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="kl|renyi:A|jeffreys|js",
            help="The divergence that is minimised: kl (unless told), Renyi's of order A between 0 "
            "and 1, or the symmetric ones of Jeffreys and of Jensen and Shannon; forward, reverse "
            "or both is the kl in that direction.",
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="forward|reverse|both",
            help="Which way: of the target from the fit, of the fit from the target, or both "
            "(unless told).",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Save the fit there as it goes, and continue one that was saved there by the same "
            "command (with two directions: PATH.forward and PATH.reverse).",
        ),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Where the figure goes: .png, .pdf, .svg, ... (jaxdiv-fit.png unless told; of one "
            "or two columns).",
        ),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Also write every number there, in full, as JSON; its entry `keys` says what "
            "each is.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="B", help="The logarithm's base: 2 for bits; nats unless told."),
    ] = None,
    starts: Annotated[
        int, typer.Option(metavar="N", help="Starting points for each direction.")
    ] = 16,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of the starting points.")] = 0,
) -> None:
    """Fits a family to a density, unless told one Gaussian by both KLs, and says what came."""
    from . import request as requests

    request = requests.parse(
        file=file,
        data=data,
        column=column or (),
        target=target,
        density=density,
        bandwidth=bandwidth,
        family=family,
        objective=objective,
        direction=direction,
        resume=resume,
        plot=plot,
        json=json,
        base=base,
        starts=starts,
        seed=seed,
    )
    from .session import run_fit

    run_fit(request)


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"jaxdiv: {line}", file=sys.stderr)
    return code
