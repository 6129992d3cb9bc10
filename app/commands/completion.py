"""``resonance completion``."""

from __future__ import annotations

import os
from pathlib import Path

import click
import platformdirs
from click.shell_completion import get_completion_class

from resonance import __version__
from resonance.app.errors import UserError, WrongUsage
from resonance.app.options import examples, out

#: Where each shell looks for the completion of a command, below the user's folders.
_PLACES = {
    "bash": ("data", "bash-completion/completions/resonance"),
    "fish": ("config", "fish/completions/resonance.fish"),
    "zsh": ("home", ".zfunc/_resonance"),
}


@click.command(
    epilog=examples(
        "resonance completion --install           for the shell you use, and man pages",
        'eval "$(resonance completion bash)"      for this shell alone',
        "man resonance-denoise",
    )
)
@click.argument("shell", required=False, type=click.Choice(tuple(_PLACES)))
@click.option("--install", is_flag=True, help="Put it where the shell looks, and the man pages.")
@click.pass_context
def completion(ctx: click.Context, shell: str | None, install: bool) -> None:
    """Print what makes bash, fish or zsh complete commands and options."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(shell)
    if found is None or shell not in _PLACES:
        raise WrongUsage(f"shell {shell!r} is not known; choose one of: {', '.join(_PLACES)}")
    root = ctx.find_root().command
    script = found(root, {}, "resonance", "_RESONANCE_COMPLETE").source()
    if not install:
        click.echo(script)
        return
    kind, place = _PLACES[shell]
    folders = {
        "data": platformdirs.user_data_path(),
        "config": platformdirs.user_config_path(),
        "home": Path.home(),
    }
    path = folders[kind] / place
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")
        pages = _write_man_pages(root, folders["data"] / "man" / "man1")
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    out.print(f"completion: {path}\nman pages: {pages}")
    if shell == "zsh":
        out.print("once, in ~/.zshrc before compinit: fpath+=~/.zfunc")


def _write_man_pages(root: click.Command, folder: Path) -> Path:
    """A page for each command; returns their folder."""
    from click_man.core import write_man_pages

    folder.mkdir(parents=True, exist_ok=True)
    write_man_pages("resonance", root, version=__version__, target_dir=str(folder))
    return folder
