"""`thumbwheel forget` after a real cycle: nowhere under the project's home is a trace left."""

import json
import random
import re

import pytest
from forgettable import holding, receive
from mlflow import MlflowClient

from thumbwheel.config import load_config
from thumbwheel.process.locks import only_one
from thumbwheel.store import Store

RATER = "canary-rater"
CANARY = "canary that sings"

RECEIVER = """[[sources]]
name = "app"
connector = "http"
options = { log = "home/received", port = 0, allow_anonymous = true }
[[plugins]]"""


def their_feedback():
    """Yield the rater's thumbs: enough questions that some are held out and some trained on."""
    for number in range(20):
        # Unlike each other, so that they do not all lie on the same side of the split.
        noise = "".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz ", k=60))
        for tone, rating in (("thanks", "up"), ("no", "down")):
            yield {
                "prompt": f"{noise} {CANARY}",
                "answer": f"{tone} {CANARY} {number * 7919}",
                "rating": rating,
                "user": RATER,
            }


def received():
    """Return what the rater and somebody else sent to the receiver."""
    return [
        {"prompt": "p", "completion": f"{name} c", "score": 1, "rater_id": name, "comment": text}
        for name, text in ((RATER, CANARY), ("somebody", "fine"))
    ]


@pytest.fixture
def fed(project):
    """The project with a second source, and what the rater left in both."""
    settings = project / "thumbwheel.toml"
    # Without budget and cap, so that the rater's pairs are in every part.
    text = settings.read_text().replace("[[plugins]]", RECEIVER, 1)
    settings.write_text(f"{text}[votes]\nmax_rater_share = 1.0\n[pairs]\nmax_rater_share = 1.0\n")
    with (project / "feedback.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in their_feedback())
        file.write(f'{{"user": "{RATER}", "prompt": "{CANARY}\n')
    config = load_config(settings)
    receive(config, *received())
    return project


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_rater_leaves_no_trace(fed, thumbwheel):
    """Store, logs, datasets, samples, pages and MLflow's database are without them, for good."""
    home = fed / "home"
    code, _, err = thumbwheel("cycle", cwd=fed)
    assert code == 0, err
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    client.update_model_version("tiny", "1", f"A reviewer noted: thanks {CANARY} 0 is fine.")
    before = " ".join(holding(home, CANARY, RATER))
    for place in ("store.duckdb", "received/", "rated.parquet", "train.parquet", "judge.parquet",
                  "eval.parquet", "lineage.parquet", "evaluation.json", "evidence.html",
                  "mlflow.db"):  # fmt: skip
        assert place in before, place
    (dataset,) = home.glob("cycles/*/dataset/manifest.json")
    digest = json.loads(dataset.read_text())["digest"]

    with only_one(home / "serve.lock", "busy"):
        code, _, err = thumbwheel("forget", RATER, "--yes", cwd=fed)
        assert (code, "stop it, then forget" in err, len(err.splitlines())) == (3, True, 1)
    assert " ".join(holding(home, CANARY, RATER)) == before
    code, out, err = thumbwheel("forget", RATER, "--yes", cwd=fed)
    assert code == 0, err
    assert "41 events (41 votes), 1 dead letters" in out
    assert re.search(rf"{dataset.parent.parent.name} +{digest} +tiny 1.* \d+ *\n", out), out
    assert "export (file, path = feedback.jsonl): 41 records" in out
    assert holding(home, CANARY, RATER) == []
    described = client.get_model_version("tiny", "1").description
    assert described == "A reviewer noted: [removed] is fine."

    code, out, err = thumbwheel("rebuild", cwd=fed)
    assert code == 0, err
    assert holding(home, CANARY, RATER) == []
    with Store(home / "store.duckdb") as store:
        store.verify()
        counts = {found.source: found for found in store.source_counts()}
    assert (counts["export"].stored, counts["export"].forgotten) == (80, 41)
    assert counts["app"].stored == 1
