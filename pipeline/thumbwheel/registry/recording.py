"""Writing a candidate into MLflow: a run, a logged model with the adapter, a model version.

Each step looks for what an earlier, killed attempt left under the candidate's id and goes on from
there. The version comes last: its presence says that all else is whole.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thumbwheel.errors import ConfigError
from thumbwheel.registry.bundle import build_bundle
from thumbwheel.registry.candidate import Candidate

__all__ = ["BUNDLE_TAG", "find_experiment", "record_candidate"]

BUNDLE_TAG = "bundle_sha256"
"""The logged model's tag that holds its bundle's digest."""

_MOST_PARAMS = 100  # MLflow takes no more in one request
_LONGEST_DESCRIPTION = 5000  # characters, the width of MLflow's column


def find_experiment(client: Any, name: str, artifact_location: str | None) -> str:
    """Return the id of an experiment, made when there is none.

    Raises:
        ConfigError: It was deleted in MLflow.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifact_location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # made by another in this moment
    if found.lifecycle_stage == "deleted":
        raise ConfigError(
            f"the experiment {name!r} was deleted in MLflow; run `mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`, or give another `mlflow.experiment`"
        )
    return str(found.experiment_id)


def record_candidate(client: Any, experiment_id: str, project: str, candidate: Candidate) -> str:
    """Write down a candidate, once; return its model version.

    Raises:
        ModelError: The adapter's files cannot be read.
    """
    versions = _find_versions(client, project, candidate)
    if versions:
        version = _first(
            versions, lambda spare: client.delete_model_version(project, spare.version)
        )
        return str(version.version)
    run_id = _record_run(client, experiment_id, candidate)
    model_id = _upload_adapter(client, experiment_id, run_id, project, candidate)
    return _create_version(client, experiment_id, run_id, model_id, project, candidate)


def _record_run(client: Any, experiment_id: str, candidate: Candidate) -> str:
    from mlflow.entities import Metric, Param

    run = _one(
        lambda: client.search_runs(
            [experiment_id],
            f"tags.candidate_id = '{candidate.candidate_id}'",
            order_by=["attributes.start_time ASC"],
        ),
        lambda: client.create_run(
            experiment_id,
            run_name=candidate.cycle_id,
            tags={
                **candidate.tags(),
                "mlflow.note.content": candidate.description,
                "mlflow.source.name": "thumbwheel",
            },
        ),
        lambda spare: client.delete_run(spare.info.run_id),
    )
    run_id = str(run.info.run_id)
    params = [Param(key, value) for key, value in candidate.param_texts().items()]
    for start in range(0, len(params), _MOST_PARAMS):
        client.log_batch(run_id, params=params[start : start + _MOST_PARAMS])
    # The run's own time stamp: a metric logged again is the same row, not a second point.
    moment = run.info.start_time
    values = candidate.metric_values()
    client.log_batch(run_id, [Metric(name, value, moment, 0) for name, value in values.items()])
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in candidate.artifact_texts().items():
            (Path(scratch) / name).write_text(text, encoding="utf-8")
        client.log_artifacts(run_id, scratch)
    client.set_terminated(run_id)
    return run_id


def _upload_adapter(
    client: Any, experiment_id: str, run_id: str, project: str, candidate: Candidate
) -> str:
    about = {
        "project": project,
        "candidate_id": candidate.candidate_id,
        "cycle_id": candidate.cycle_id,
    }
    with tempfile.TemporaryDirectory() as scratch:
        digest = build_bundle(candidate.adapter, Path(scratch), about)
        identity = {"candidate_id": candidate.candidate_id, BUNDLE_TAG: digest}
        query = " AND ".join(f"tags.{key} = '{value}'" for key, value in identity.items())
        model = _one(
            lambda: client.search_logged_models([experiment_id], query),
            lambda: client.create_logged_model(
                experiment_id,
                name="adapter",
                source_run_id=run_id,
                tags=identity,
                model_type="lora-adapter",
            ),
            lambda spare: client.delete_logged_model(spare.model_id),
        )
        if model.status != "READY":  # new, or its upload was cut off
            client.log_model_artifacts(model.model_id, scratch)
            client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _create_version(
    client: Any,
    experiment_id: str,
    run_id: str,
    model_id: str,
    project: str,
    candidate: Candidate,
) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(project)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run_page = f"#/experiments/{experiment_id}/runs/{run_id}"
    version = _one(
        lambda: _find_versions(client, project, candidate),
        lambda: client.create_model_version(
            project,
            f"models:/{model_id}",
            run_id=run_id,
            model_id=model_id,
            tags=candidate.tags(),
            description=_describe(candidate, run_page),
        ),
        lambda spare: client.delete_model_version(project, spare.version),
    )
    return str(version.version)


def _find_versions(client: Any, project: str, candidate: Candidate) -> list[Any]:
    query = f"name = '{project}' and tags.candidate_id = '{candidate.candidate_id}'"
    return sorted(client.search_model_versions(query), key=lambda found: int(found.version))


def _describe(candidate: Candidate, run_page: str) -> str:
    """Return the description with links behind its first paragraph, cut at a line if need be."""
    links = [f"[{name}]({run_page}/artifacts/{name})" for name in candidate.artifacts]
    verdict, _, rest = candidate.description.partition("\n\n")
    text = "\n\n".join(
        [verdict, f"[All metrics]({run_page}) and files: {', '.join(links)}", rest]
    ).rstrip()
    if len(text) <= _LONGEST_DESCRIPTION:
        return text
    return text[:_LONGEST_DESCRIPTION].rpartition("\n")[0]


def _one(
    find: Callable[[], Sequence[Any]], create: Callable[[], object], drop: Callable[[Any], object]
) -> Any:
    """Find the one thing, or create it.

    A create request whose answer was lost is sent again by MLflow's HTTP client and makes a second
    thing; so what is there is looked up afterwards.
    """
    if not find():
        create()
    return _first(find(), drop)


def _first(found: Sequence[Any], drop: Callable[[Any], object]) -> Any:
    first, *spares = found
    for spare in spares:
        drop(spare)
    return first
