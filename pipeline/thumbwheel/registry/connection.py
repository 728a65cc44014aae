"""A connection to MLflow: opened quietly, bounded in time, its errors told in one line."""

import logging
import os
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from thumbwheel.errors import ConfigError, ThumbwheelError, UnavailableError
from thumbwheel.process.extras import require

__all__ = ["SETTINGS", "Connection", "check_database", "is_outage"]

SETTINGS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own defaults, 7 retries of 120 s, hang for minutes when a server dies mid-upload. Two
    # tries of 12 s, and the pause between them, end within 40 s on a server that says nothing.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "12",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment variables set before MLflow is imported, unless the user has set them."""

_SQLITE = "sqlite:///"


class Connection:
    """Where MLflow is, and a client for it when one is needed.

    Args:
        uri: `sqlite:///PATH` or `http(s)://HOST[:PORT]`.

    Raises:
        ConfigError: The URI is neither.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self.uri = uri
        self.database: Path | None = None
        if uri.startswith(_SQLITE) and len(uri) > len(_SQLITE):
            self.database = Path(uri.removeprefix(_SQLITE)).absolute()
            self.shown = uri
        elif parts.scheme in ("http", "https") and parts.hostname:
            # A password in the URI must not reach a message or a log.
            self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        else:
            where = f"{parts.scheme}://…" if parts.scheme else repr(uri)
            raise ConfigError(
                f"`mlflow.tracking_uri` {where} is not supported; give `sqlite:///PATH/mlflow.db` "
                "or the address of an MLflow server, `http://HOST:PORT`"
            )
        self._client: Any = None

    def exists(self) -> bool:
        """Return False when it is a SQLite database that nobody has made yet."""
        return self.database is None or self.database.exists()

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Lend an `MlflowClient`; what it raises leaves the block as a `ThumbwheelError`.

        Raises:
            ConfigError: The database cannot be opened, or the address is not an MLflow server's.
            UnavailableError: The server does not answer, or the database is locked.
        """
        mlflow = _import_mlflow()
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            if self._client is None:
                self._client = self._open()
            # MLflow's registry looks the source of a new version up in the process-wide store,
            # and would make a ./mlflow.db of its own where that is unset.
            mlflow.set_tracking_uri(self.uri)
            yield self._client
        except (mlflow.MlflowException, RequestException, SQLAlchemyError) as error:
            raise self._explain(error) from error

    def _open(self) -> Any:
        from alembic.util import CommandError
        from mlflow import MlflowClient

        if self.database is not None:
            check_database(self.database)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        except CommandError as error:
            raise ConfigError(
                f"MLflow's database {self.database} was made by a newer MLflow; upgrade with "
                "`pip install --upgrade mlflow`, or give another `mlflow.tracking_uri`"
            ) from error

    def _explain(self, error: Exception) -> ThumbwheelError:
        message = str(error)
        first_line = message.replace(self.uri, self.shown).partition("\n")[0][:200]
        code = getattr(error, "error_code", "")
        if self.database is not None:
            if "out-of-date database schema" in message:
                return ConfigError(
                    f"MLflow's database {self.database} was made by another MLflow; back it up, "
                    f"then run `mlflow db upgrade {self.uri}`"
                )
            if "database is locked" in message:
                return UnavailableError(
                    f"MLflow's database {self.database} is locked by another process; "
                    "try again when that has finished"
                )
            return ThumbwheelError(f"MLflow at {self.shown} failed: {first_line}")
        if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return ConfigError(
                f"MLflow at {self.shown} refused access; set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        if code == "ENDPOINT_NOT_FOUND" or "not in a valid JSON format" in message:
            return ConfigError(
                f"{self.shown} answers, but not as an MLflow server of version 3 or newer; "
                "mend `mlflow.tracking_uri`"
            )
        if is_outage(error):
            return UnavailableError(
                f"MLflow at {self.shown} does not answer; start the server, "
                "or mend `mlflow.tracking_uri`"
            )
        return ThumbwheelError(f"MLflow at {self.shown} refused: {first_line}")


def is_outage(error: Exception) -> bool:
    """Tell a server that cannot be reached from one that answers with an error."""
    from requests import RequestException

    # MLflow wraps the connection's exception in one of its own, and keeps only its text.
    return isinstance(error, RequestException) or "failed with exception" in str(error)


def _import_mlflow() -> Any:
    require("mlflow")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # MLflow and its dependencies warn about each other while they are imported.
        warnings.simplefilter("ignore")
        import mlflow
    # Errors come back as exceptions and are told once; the log lines that double them are muted.
    for name in ("alembic", "mlflow", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return mlflow


def check_database(path: Path) -> None:
    """Open the file as SQLite once: where this fails, MLflow would retry for 100 s.

    Raises:
        ConfigError: It is not a database, or cannot be written.
        UnavailableError: It is locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=20)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("PRAGMA schema_version").fetchone()
            database.rollback()
    except (OSError, sqlite3.Error) as error:
        if "locked" in str(error):
            raise UnavailableError(
                f"MLflow's database {path} is locked by another process; "
                "try again when that has finished"
            ) from error
        raise ConfigError(
            f"cannot open {path} as MLflow's database: {error}; "
            "mend `mlflow.tracking_uri`, or move the file away"
        ) from error
