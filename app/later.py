"""Commands that are programs of their own, imported only when called."""

from __future__ import annotations

import importlib

import click

from resonance.app.errors import UserError

_FORWARDED = {"ignore_unknown_options": True, "help_option_names": []}


def program(name: str, module: str, summary: str, extra: str) -> click.Command:
    """A command that passes all its arguments on.

    Parameters
    ----------
    name
        As typed after ``resonance``.
    module
        Has the click command ``main``.
    summary
        For help.
    extra
        Extra of the package that installs what the program needs.

    Returns
    -------
    click.Command
        Named by the last word of ``name``.
    """

    @click.command(name.rpartition(" ")[-1], help=summary, context_settings=_FORWARDED)
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def forward(arguments: tuple[str, ...]) -> None:
        try:
            found = importlib.import_module(module)
            found.main(list(arguments), prog_name=f"resonance {name}")
        except ImportError as error:
            raise UserError(
                f"resonance {name} needs {error.name}; "
                f"in the source folder: pip install '.[{extra}]'"
            ) from error

    return forward


def programs(name: str, modules: dict[str, str], summary: str) -> click.Group:
    """A group of such commands.

    Parameters
    ----------
    name
        Of the group.
    modules
        For each command the module of its program.
    summary
        For help.

    Returns
    -------
    click.Group
        With a command for each module.
    """
    group = click.Group(name, help=summary)
    for what, module in modules.items():
        group.add_command(
            program(f"{name} {what}", module, f"Same as python -m {module}.", "train")
        )
    return group
