"""Who is champion, at a glance: without MLflow's library, whose import alone takes seconds."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from thumbwheel.errors import ConfigError, UnavailableError

__all__ = ["champion_in_database", "champion_on_server"]

_ALIAS = "champion"
_SECONDS = (1.0, 3.0)

_SELECT = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"


def champion_in_database(path: Path, project: str) -> str | None:
    """Return the champion's version in MLflow's SQLite database, or None when there is none.

    Raises:
        UnavailableError: It cannot be read like this.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=1, uri=True)) as database:
            rows = database.execute(_SELECT, [project, _ALIAS]).fetchall()
    except sqlite3.Error as error:
        raise UnavailableError(f"MLflow's database {path} cannot be read: {error}") from error
    return str(rows[0][0]) if rows else None


def champion_on_server(uri: str, shown: str, project: str) -> str | None:
    """Return the champion's version on an MLflow server, or None when there is none.

    Args:
        uri: The server's address.
        shown: The same without a password.
        project: The name of the registered model.

    Raises:
        ConfigError: It refuses access.
        UnavailableError: It does not answer within some seconds, or not with a version.
    """
    import requests

    try:
        answer = requests.get(
            f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias",
            params={"name": project, "alias": _ALIAS},
            timeout=_SECONDS,
            **_credentials(),
        )
        content = answer.json()
        if answer.ok:
            return str(content["model_version"]["version"])
        if content.get("error_code") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
    except requests.RequestException as error:
        raise UnavailableError(f"MLflow at {shown} does not answer") from error
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
        raise ConfigError(f"MLflow at {shown} refuses access without credentials")
    raise UnavailableError(f"MLflow at {shown} answered {answer.status_code}")


def _credentials() -> dict[str, Any]:
    """Return what MLflow itself takes from the environment."""
    given = os.environ.get
    options: dict[str, Any] = {}
    if user := given("MLFLOW_TRACKING_USERNAME"):
        options["auth"] = (user, given("MLFLOW_TRACKING_PASSWORD", ""))
    elif token := given("MLFLOW_TRACKING_TOKEN"):
        options["headers"] = {"Authorization": f"Bearer {token}"}
    if given("MLFLOW_TRACKING_INSECURE_TLS") == "true":
        options["verify"] = False
    elif certificate := given("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        options["verify"] = certificate
    return options
