"""The command line: ``resonance COMMAND``."""

from __future__ import annotations

import io
import signal
import sys
from typing import Any

import click

from resonance import __version__
from resonance.app import config
from resonance.app.commands import all_commands
from resonance.app.errors import UserError
from resonance.app.options import EXIT_FAILED, err, examples
from resonance.app.text import shown

#: Commands by what people want to do.
SECTIONS = {
    "Listen and clean": ("gui", "live", "denoise", "batch"),
    "Keywords": ("spot", "enroll"),
    "For other programs": ("serve", "service"),
    "Settings and devices": ("config", "devices", "info", "completion"),
}


class Group(click.Group):
    """Shows its commands in sections; turns errors meant for users into one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, those without a section last."""
        listed = {name for names in SECTIONS.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in listed]
        for title, names in {**SECTIONS, "Models and experiments": others}.items():
            known = [(name, self.commands[name]) for name in names if name in self.commands]
            with formatter.section(title):
                formatter.write_dl([(n, c.get_short_help_str(limit=120)) for n, c in known])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            err.print(f"error: {shown(error)}", style="red")
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(EXIT_FAILED)


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=examples(
        "resonance gui                                a window: two clicks to a clean call",
        "resonance live --virtual-mic                 the same in a terminal",
        "resonance denoise talk.wav -o talk-clean.wav",
        "resonance batch recordings/ -o clean/",
        "resonance live --run stop='playerctl pause'  act on words",
        "resonance COMMAND --help                     more about each",
    ),
)
@click.version_option(__version__, prog_name="resonance")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Clean microphone and keyword spotter built from damped driven oscillators."""
    if ctx.invoked_subcommand != "config":  # which must work when the file does not
        ctx.default_map = config.load(main)
    # So that half-written files are removed, as after Ctrl-C; also when the terminal is closed.
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, lambda got, _: sys.exit(128 + got))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and arrows on terminals that lack them
            stream.reconfigure(errors="replace")


_ORDER = [name for names in SECTIONS.values() for name in names]
for command in sorted(all_commands(), key=lambda c: [*_ORDER, c.name].index(c.name)):
    main.add_command(command)


if __name__ == "__main__":
    main()
