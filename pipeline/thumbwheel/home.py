"""What lies where under a project's `home`."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layout"]

_REBUILDING = "store.rebuilding.duckdb"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files and directories of a project; `home` is the directory that holds them."""

    home: Path

    @property
    def store(self) -> Path:
        """The DuckDB file."""
        return self.home / "store.duckdb"

    @property
    def store_rebuilding(self) -> Path:
        """The store that `thumbwheel rebuild` is making."""
        return self.home / _REBUILDING

    def store_aside(self, when: str) -> Path:
        """Return where the store is set aside when another takes its place."""
        return self.home / f"store.{when}.duckdb"

    def stores_aside(self) -> list[Path]:
        """Return the stores that were set aside, sorted by when."""
        return sorted(path for path in self.home.glob("store.*.duckdb") if path.name != _REBUILDING)

    @property
    def serve_lock(self) -> Path:
        """Held by whoever holds the store for longer than a command."""
        return self.home / "serve.lock"

    @property
    def serve_note(self) -> Path:
        """How to reach `thumbwheel serve` while it holds the store."""
        return self.home / "serve.json"

    @property
    def scratch(self) -> Path:
        """What `thumbwheel serve` hands out, for as long as that takes."""
        return self.home / "scratch"

    @property
    def parked_looked_at(self) -> Path:
        """When votes that wait for their answer were looked at."""
        return self.home / "parked_looked_at"

    @property
    def cycle_lock(self) -> Path:
        """Held by a running cycle."""
        return self.home / "cycle.lock"

    @property
    def cycles(self) -> Path:
        """A directory for each cycle: see `cycle.journal`."""
        return self.home / "cycles"

    @property
    def split(self) -> Path:
        """Which prompts are for training, for the judge, or held out: see `pairs.split`."""
        return self.home / "split.parquet"

    @property
    def pairing(self) -> Path:
        """The candidate pairs of the last cycle, from which the next one goes on."""
        return self.home / "pairing"

    @property
    def champions(self) -> Path:
        """Adapters of champions, fetched from the registry."""
        return self.home / "champions"

    @property
    def ledger(self) -> Path:
        """A copy of the ledger that lies in MLflow: see `registry.ledger`."""
        return self.home / "ledger.jsonl"

    @property
    def model_cache(self) -> Path:
        """What models wrote, scored and embedded: see `language_model.cache`."""
        return self.home / "model_cache.db"

    @property
    def mlflow_database(self) -> Path:
        """MLflow's database, where no server is configured."""
        return self.home / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        """MLflow's files, where no server is configured."""
        return self.home / "mlartifacts"
