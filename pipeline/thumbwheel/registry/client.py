"""What the cycle asks of MLflow: who is champion, register a candidate, promote a version."""

import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from thumbwheel.config import Config
from thumbwheel.errors import ModelError, StaleEvidenceError, ThumbwheelError
from thumbwheel.registry.bundle import find_flaw
from thumbwheel.registry.candidate import Candidate
from thumbwheel.registry.connection import Connection, is_outage
from thumbwheel.registry.erasure import compact, erase_texts, replace_pages
from thumbwheel.registry.glance import champion_in_database, champion_on_server
from thumbwheel.registry.ledger import Ledger
from thumbwheel.registry.recording import BUNDLE_TAG, find_experiment, record_candidate
from thumbwheel.registry.reviews import Reviews, erase_reviews

__all__ = ["Champion", "Registry", "open_registry"]

_ALIAS = "champion"


@dataclass(frozen=True, slots=True)
class Champion:
    """The version behind `@champion`, its adapter on this disk, and the cycle that made it."""

    version: str
    adapter: Path
    cycle_id: str


class Registry:
    """The project's registered model in MLflow.

    Nothing is opened before the first call. Every method raises `UnavailableError` when MLflow does
    not answer and `ConfigError` when the URI is wrong or the database cannot be opened.

    Args:
        tracking_uri: `sqlite:///PATH` or `http(s)://HOST[:PORT]`.
        project: The name of the registered model.
        experiment: The experiment that the runs go to; the project's name when None.
        artifact_root: Where files are kept when `tracking_uri` is a SQLite database. A server
            keeps them where it was told to.
        ledger: The file that has the ledger's entries too, or None for none.
    """

    def __init__(
        self,
        tracking_uri: str,
        project: str,
        experiment: str | None,
        artifact_root: Path,
        ledger: Path | None = None,
    ) -> None:
        self._connection = Connection(tracking_uri)
        self._project = project
        self._experiment = experiment or project
        self._artifact_root = artifact_root.absolute()
        self._mirror = ledger

    def exists(self) -> bool:
        """Return False when it is a local database that nobody has made yet."""
        return self._connection.exists()

    # --- the champion --------------------------------------------------------------------------

    def champion_version(self) -> str | None:
        """Return the version that `@champion` names, or None when there is none."""
        if not self._connection.exists():
            return None
        with self._connection.client() as client:
            found = self._find_champion(client)
            return None if found is None else str(found.version)

    def champion_at_a_glance(self) -> str | None:
        """Return what `champion_version` does, in a moment.

        Raises:
            ConfigError: MLflow refuses access.
            UnavailableError: MLflow does not answer within some seconds.
        """
        database = self._connection.database
        if database is None:
            return champion_on_server(self._connection.uri, self._connection.shown, self._project)
        if not database.exists():
            return None
        return champion_in_database(database, self._project)

    def champion(self, download_to: Path) -> Champion | None:
        """Return the champion with its verified adapter under `download_to`, or None.

        A copy that is there already is verified again instead of downloaded again.

        Raises:
            ModelError: Its files are not those that were registered.
        """
        if not self._connection.exists():
            return None
        with self._connection.client() as client:
            found = self._find_champion(client)
            if found is None:
                return None
            name = f"version {found.version} of {self._project}"
            # MLflow keeps the model's id only inside the source, not in the field of that name.
            scheme, _, model_id = found.source.partition(":/")
            known = scheme == "models" and model_id.startswith("m-")
            model = client.get_logged_model(model_id) if known else None
            if model is None or BUNDLE_TAG not in model.tags:
                raise ModelError(
                    f"{name} was not registered by thumbwheel; move the alias `{_ALIAS}` "
                    "in MLflow to a version that was"
                )
            adapter = self._fetch(model, download_to, name)
            return Champion(str(found.version), adapter, found.tags.get("cycle", ""))

    def _find_champion(self, client: Any) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return client.get_model_version_by_alias(self._project, _ALIAS)
        except MlflowException as error:
            # MLflow has a code of its own for a missing alias, and another for a missing model.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _fetch(self, model: Any, download_to: Path, name: str) -> Path:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        digest = str(model.tags[BUNDLE_TAG])
        kept = download_to / digest
        if kept.exists():
            if find_flaw(kept, digest) is None:
                return kept
            shutil.rmtree(kept)  # a damaged copy; the original may be whole
        download_to.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=download_to) as scratch:
            try:
                bundle = Path(
                    download_artifacts(
                        artifact_uri=model.artifact_location,
                        dst_path=scratch,
                        tracking_uri=self._connection.uri,
                    )
                )
                flaw = find_flaw(bundle, digest)
            except MlflowException as error:
                if is_outage(error):
                    raise
                flaw = "cannot be downloaded"
            if flaw is not None:
                raise ModelError(
                    f"{name} {flaw}; restore {model.artifact_location} from a backup, "
                    f"or move the alias `{_ALIAS}` in MLflow to another version"
                )
            bundle.rename(kept)
        return kept

    # --- candidates ----------------------------------------------------------------------------

    def register(self, candidate: Candidate) -> str:
        """Record a candidate as one run and one model version; return the version.

        Called again with the same candidate, after success or after a kill at any instant, it ends
        with the same one run and one version.

        Raises:
            ModelError: The adapter's files cannot be read.
        """
        with self._connection.client() as client:
            experiment_id = find_experiment(client, self._experiment, self._location())
            return record_candidate(client, experiment_id, self._project, candidate)

    def _location(self) -> str | None:
        """Return where a new experiment keeps its files; a server knows that itself."""
        if self._connection.database is None:
            return None
        return (self._artifact_root / quote(self._experiment, safe="")).as_uri()

    # --- the ledger ----------------------------------------------------------------------------

    def ledger(self, say: Callable[[str], object]) -> Ledger:
        """Return the project's ledger, see `registry.ledger`.

        Args:
            say: Called with a sentence when entries that MLflow had lost were entered again.
        """
        return Ledger(
            self._connection, self._project, self._experiment, self._location(), self._mirror, say
        )

    # --- reviews -------------------------------------------------------------------------------

    def reviews(self) -> Reviews:
        """Return the review queues of the project's experiment."""
        return Reviews(self._connection, self._experiment, self._location())

    # --- promotion -----------------------------------------------------------------------------

    def promote(self, version: str, expected_champion: str | None) -> None:
        """Move `@champion` to a version that passed the gate. Doing so twice changes nothing.

        MLflow cannot compare and set an alias in one step; cycles of a project exclude each other
        by their lock.

        Args:
            version: The version to promote.
            expected_champion: The champion that the version was compared with.

        Raises:
            ThumbwheelError: The version has not passed the gate.
            StaleEvidenceError: Another version has become champion meanwhile.
        """
        with self._connection.client() as client:
            gate = client.get_model_version(self._project, version).tags.get("gate")
            if gate != "passed":
                raise ThumbwheelError(
                    f"version {version} of {self._project} has not passed the gate "
                    f"(its tag `gate` is {gate!r}), so it cannot become champion"
                )
            found = self._find_champion(client)
            champion = None if found is None else str(found.version)
            if champion == version:
                return
            if champion != expected_champion:
                raise StaleEvidenceError(
                    f"version {version} of {self._project} was compared with "
                    f"{expected_champion or 'the base model'}, but the champion is now "
                    f"{champion or 'the base model'}; run the cycle again to compare with that"
                )
            client.set_registered_model_alias(self._project, _ALIAS, version)

    # --- forgetting ----------------------------------------------------------------------------

    def replace_page(self, candidate_id: str, name: str, page: str) -> None:
        """Put a text in the place of an artifact of a candidate's runs, where they have it."""
        with self._connection.client() as client:
            replace_pages(client, self._experiment, candidate_id, name, page)

    def erase_texts(
        self,
        without: Callable[[str], str],
        *,
        page: str,
        is_in_page: Callable[[str], bool],
        instead: str,
        spared: Collection[str],
    ) -> None:
        """Take texts out of descriptions, tags, pages and reviews; write a local database anew.

        Args:
            without: Returns a text without what is to go.
            page: The name of the artifact that is a page.
            is_in_page: Tells whether a page shows what is to go.
            instead: What takes the place of such a page.
            spared: Candidates whose pages are left as they are.

        Raises:
            UnavailableError: Another process works with the local database.
        """
        with self._connection.client() as client:
            erase_texts(
                client,
                self._experiment,
                self._project,
                without,
                name=page,
                is_in_page=is_in_page,
                instead=instead,
                spared=spared,
            )
            erase_reviews(client, self._experiment, is_in_page)
        if self._connection.database is not None:
            compact(self._connection.database)

    # --- pages ---------------------------------------------------------------------------------

    def version_page(self, base_url: str, version: str) -> str:
        """Return the address of a version's page in MLflow's web interface."""
        return f"{base_url.rstrip('/')}/#/models/{quote(self._project, safe='')}/versions/{version}"

    def run_page(self, base_url: str, version: str) -> str:
        """Return the address of the page with a version's metrics and artifacts."""
        with self._connection.client() as client:
            run_id = client.get_model_version(self._project, version).run_id
            experiment_id = client.get_run(run_id).info.experiment_id
        return f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def open_registry(config: Config) -> Registry:
    """Return the configured project's registry; nothing is opened before its first use."""
    return Registry(
        config.tracking_uri,
        config.project,
        config.mlflow.experiment,
        config.layout.mlflow_artifacts,
        config.layout.ledger,
    )
