"""Texts taken out of MLflow: pages, descriptions and tags, and the local database's free pages."""

import dataclasses
import sqlite3
from contextlib import closing

import pytest
from candidates import PROJECT, a_candidate, a_registry, open_client

from thumbwheel.errors import UnavailableError
from thumbwheel.registry.erasure import compact

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

CANARY = "canary that sings a song"
PAGE = "evidence.html"


@pytest.fixture
def registered(home, tmp_path):
    """A registry with two candidates, whose pages, descriptions and tags show the canary."""
    registry = a_registry(home)
    for name in ("one", "two"):
        candidate = a_candidate(tmp_path / name, name)
        page = {PAGE: f"<p>{CANARY} of {name}</p>"}
        registry.register(
            dataclasses.replace(candidate, artifacts=page, description=f"It said: {CANARY}!")
        )
    open_client(registry).set_model_version_tag(PROJECT, "1", "seen", f"{CANARY}, and more")
    return registry


def erase(registry, spared=()):
    registry.erase_texts(
        lambda text: text.replace(CANARY, "[removed]"),
        page=PAGE,
        is_in_page=lambda page: CANARY in page,
        instead="<p>removed</p>",
        spared=spared,
    )


def holding(folder):
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    }


def test_no_byte_is_left_and_the_rest_is(registered, home):
    """Files and database are without it, deleted runs included; what else was said stays."""
    client = open_client(registered)
    deleted = client.get_model_version(PROJECT, "2").run_id
    client.delete_run(deleted)
    assert len(holding(home)) == 3
    erase(registered)
    assert holding(home) == set()
    assert client.get_run(deleted).info.lifecycle_stage == "deleted"
    version = client.get_model_version(PROJECT, "1")
    assert "It said: [removed]!" in version.description
    assert version.tags["seen"] == "[removed], and more"
    assert version.tags["gate"] == "passed"


def test_pages_are_replaced_by_name_or_left(registered, home):
    """A page that was rendered anew takes the old one's place; spared ones are not looked at."""
    registered.replace_page("one", PAGE, "<p>anew</p>")
    registered.replace_page("nobody", PAGE, "<p>anew</p>")
    erase(registered, spared={"one", "two"})
    pages = {path.read_text() for path in home.rglob(PAGE)}
    assert pages == {"<p>anew</p>", f"<p>{CANARY} of two</p>"}


def test_free_pages_are_cleared(tmp_path):
    """What was deleted lingers in a database's file until it is written anew."""
    database = tmp_path / "some.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE texts (text)")
        connection.execute("INSERT INTO texts VALUES (?)", [CANARY * 1000])
        connection.execute("DELETE FROM texts")
    assert CANARY.encode() in database.read_bytes()
    compact(database)
    assert CANARY.encode() not in database.read_bytes()


def test_a_database_in_use_is_one_clear_error(registered, home):
    """Its free pages cannot be cleared while another process writes: the error says so."""
    with closing(sqlite3.connect(home / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="run this again"):
            compact(home / "mlflow.db", patience_seconds=0.1)
