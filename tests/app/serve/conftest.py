"""Servers that tests ask."""

import pytest

from tests.serve_command import serving


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """Where the server's custom words are."""
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="session")
def server(words):
    with serving(words=words) as found:
        yield found


@pytest.fixture(scope="session")
def small_server(words):
    """One that soon has enough."""
    arguments = (
        "--most-streams",
        "2",
        "--most-files",
        "1",
        "--file-mb",
        "1",
        "--file-minutes",
        "0.5",
        "--idle-s",
        "4",
    )
    with serving(*arguments, words=words) as found:
        yield found
