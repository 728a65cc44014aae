"""Taking texts back out of MLflow: pages of runs, descriptions and tags, the database's free pages.

MLflow overwrites an artifact and an entry in place. What a store of artifacts keeps of earlier
versions, and a server's database of earlier entries, is theirs.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from thumbwheel.errors import UnavailableError

__all__ = ["compact", "erase_texts", "replace_pages"]


def replace_pages(client: Any, experiment: str, candidate_id: str, name: str, page: str) -> None:
    """Replace a text artifact of a candidate's runs, where they have it."""
    for run in _runs(client, experiment, f"tags.candidate_id = '{candidate_id}'"):
        if _artifact(client, run.info.run_id, name):
            with _restored(client, run):
                client.log_text(run.info.run_id, page, name)


def erase_texts(
    client: Any,
    experiment: str,
    project: str,
    without: Callable[[str], str],
    *,
    name: str,
    is_in_page: Callable[[str], bool],
    instead: str,
    spared: Collection[str],
) -> None:
    """Take texts out of descriptions and tags, and out of pages that nobody can render anew.

    Args:
        client: An `MlflowClient`.
        experiment: The experiment's name.
        project: The registered model's name.
        without: Returns a text without what is to go.
        name: The artifact that is a page.
        is_in_page: Tells whether a page shows what is to go.
        instead: What takes the place of such a page.
        spared: Candidates whose pages are left as they are.
    """
    for version in client.search_model_versions(f"name = '{project}'"):
        described = version.description or ""
        if without(described) != described:
            client.update_model_version(project, version.version, without(described))
        for key, value in _changed(version.tags, without).items():
            client.set_model_version_tag(project, version.version, key, value)
    for run in _runs(client, experiment):
        run_id = run.info.run_id
        tags = _changed(run.data.tags, without)
        is_spared = run.data.tags.get("candidate_id") in spared
        stale = not is_spared and is_in_page(_artifact(client, run_id, name))
        if tags or stale:
            with _restored(client, run):
                for key, value in tags.items():
                    client.set_tag(run_id, key, value)
                if stale:
                    client.log_text(run_id, instead, name)


def compact(database: Path, *, patience_seconds: float = 20) -> None:
    """Write a SQLite file anew, so that what was overwritten in it is gone from the disk.

    Args:
        database: The file.
        patience_seconds: How long to wait for others that work with it.

    Raises:
        UnavailableError: Another process works with it.
    """
    try:
        with closing(
            sqlite3.connect(database, timeout=patience_seconds, isolation_level=None)
        ) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise UnavailableError(
            f"MLflow's database {database} cannot be written anew ({error}); stop what uses it, "
            "such as `thumbwheel ui`, and run this again"
        ) from error


def _runs(client: Any, experiment: str, where: str = "") -> Iterator[Any]:
    """Yield the experiment's runs, those that were deleted in MLflow included."""
    from mlflow.entities import ViewType

    found = client.get_experiment_by_name(experiment)
    token = None
    while found is not None:
        page = client.search_runs(
            [found.experiment_id], where, ViewType.ALL, max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def _restored(client: Any, run: Any) -> Iterator[None]:
    """Let a run that was deleted in MLflow be written to inside the block."""
    is_deleted = run.info.lifecycle_stage == "deleted"
    if is_deleted:
        client.restore_run(run.info.run_id)
    try:
        yield
    finally:
        if is_deleted:
            client.delete_run(run.info.run_id)


def _artifact(client: Any, run_id: str, name: str) -> str:
    """Return a text artifact, or nothing when the run has none of this name."""
    if not any(artifact.path == name for artifact in client.list_artifacts(run_id)):
        return ""
    with tempfile.TemporaryDirectory() as scratch:
        return Path(client.download_artifacts(run_id, name, scratch)).read_text(encoding="utf-8")


def _changed(tags: Mapping[str, str], without: Callable[[str], str]) -> dict[str, str]:
    return {key: without(value) for key, value in tags.items() if without(value) != value}
