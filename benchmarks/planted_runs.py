"""One run of `planted.py`, from the events of a world to what came of it."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.cli.current import current_pairs
from thumbwheel.config import Config, load_config
from thumbwheel.cycle.journal import CycleJournal, find_report
from thumbwheel.cycle.run import run_cycle
from thumbwheel.demo.prepare import prepare_demo
from thumbwheel.demo.traffic import write_events
from thumbwheel.demo.world import World, WorldOptions
from thumbwheel.evidence.audit import AuditReport, audit_pairs
from thumbwheel.evidence.evaluation import evaluate
from thumbwheel.evidence.gate import decide
from thumbwheel.ingest import ingest_all
from thumbwheel.language_model import AdaptedModel, load_base
from thumbwheel.pairs.dataset import PART_FILES, read_pairs
from thumbwheel.plugin.host import isolated_plugins
from thumbwheel.store import RATED_FILE, VOTES_FILE, Store
from thumbwheel.tables import PAIRS
from thumbwheel.training import TrainResult
from thumbwheel.types import MetricReport

__all__ = ["Turn", "build_base_model", "judge_by_chance", "turn"]

ELSEWHERE = 1_000_000
"""Worlds whose seeds differ by this have the same base model."""


@dataclass(frozen=True)
class Turn:
    """What one turn of the wheel gave.

    Attributes:
        name: The folder that it happened in.
        pairs: Identities of all pairs, of all parts.
        polite: Share of polite answers to held-out prompts, of base and candidate.
        right: Share of right ones.
        length: Their mean length in characters.
        style_auc: Of a classifier that sees only style but politeness, before and after the draw.
        agreement: Krippendorff's alpha of the votes.
        reward_length: Rank correlation of DPO's implicit reward with the length of answers in which
            length tells nothing.
        refusals: The gate's reasons against the candidate; none when it was promoted.
    """

    name: str
    seed: int
    n_train: int
    n_eval: int
    pairs: frozenset[str]
    polite: tuple[float, float]
    right: tuple[float, float]
    length: tuple[float, float]
    style_auc: tuple[float, float]
    agreement: float
    reward_length: float
    refusals: Sequence[str]

    @property
    def gain(self) -> float:
        """The gain in polite answers."""
        return self.polite[1] - self.polite[0]

    @property
    def lengthening(self) -> float:
        """The change in length, as a share."""
        return self.length[1] / self.length[0] - 1

    def moved(self, clean: "Turn") -> float:
        """Return the pairs that are here or in the clean turn but not in both, per clean pair."""
        return len(self.pairs ^ clean.pairs) / len(clean.pairs)


class Silent:
    """Watches the stages and says nothing."""

    def stage(self, name: str) -> None:
        """See a stage begin."""

    def progress(self, share: float, note: str = "") -> None:
        """See it go on."""

    def done(self, summary: str) -> None:
        """See it end."""

    def warn(self, message: str) -> None:
        """See something go wrong that stops nothing."""


def build_base_model(directory: Path, seed: int) -> None:
    """Train a seed's base model, and write the demo's configuration, where they are not yet."""
    prepare_demo(directory, WorldOptions(seed=seed), Silent())


def turn(directory: Path, name: str, options: WorldOptions) -> Turn:
    """Turn the wheel once on a world; where that was done before, only measure."""
    config = _write_world(directory, f"{name}-{options.seed}", options)
    with isolated_plugins(config) as plugins:
        outcome = run_cycle(config, plugins, Silent())
    journal, report = find_report(config.layout, outcome.cycle_id)
    files = [journal.path / "dataset" / file for file in PART_FILES.values()]
    metrics = report.evaluation.metrics
    audit = _audit(config)
    before, after = audit.before.style_auc, audit.after.style_auc
    agreement = audit.agreement[0].alpha
    assert before is not None
    assert after is not None
    assert agreement is not None
    return Turn(
        name=name,
        seed=options.seed,
        n_train=report.dataset.n_train,
        n_eval=report.dataset.n_eval,
        pairs=frozenset(
            pair_id
            for file in files
            for pair_id in pq.read_table(file, columns=["pair_id"])["pair_id"].to_pylist()
        ),
        polite=_change(metrics["preferred_style"]),
        right=_change(metrics["right_answer"]),
        length=_change(metrics["length"]),
        style_auc=(before.value, after.value),
        agreement=agreement,
        reward_length=_correlate_reward_with_length(config, journal, options.seed),
        refusals=[result.reason for result in report.decision.reasons if not result.passed],
    )


def judge_by_chance(directory: Path, name: str, options: WorldOptions, n: int) -> list[bool]:
    """Have a turn's candidate judged by other worlds of the same kind; its turn comes first.

    Returns:
        Whether the gate promoted it, for each of `n` worlds.
    """
    config = load_config(directory / f"{name}-{options.seed}" / "thumbwheel.toml")
    journal, _ = find_report(config.layout, "latest")
    models = _load_models(config, journal)
    held_out = read_pairs(journal.path / "dataset" / "eval.parquet")["prompt_id"].combine_chunks()
    verdicts = []
    with isolated_plugins(config) as plugins:
        for number in range(1, n + 1):
            world = replace(options, seed=options.seed + number * ELSEWHERE)
            with tempfile.TemporaryDirectory(dir=directory) as folder:
                of_chance = _write_world(directory, folder, world)
                with Store(of_chance.layout.store) as store:
                    ingest_all(of_chance, plugins, store, Silent())
                with current_pairs(of_chance, Silent()) as (_, pairing):
                    pairs = pairing.pairs.select(PAIRS.names)
            pairs = pairs.filter(pc.is_in(pairs["prompt_id"], held_out))
            evaluation = evaluate(models, pairs, plugins, config.evaluation, champion_version=None)
            verdicts.append(decide(evaluation.report, config.gate).promote)
    return verdicts


def _write_world(directory: Path, name: str, options: WorldOptions) -> Config:
    """Write a world's events, beside a configuration that shares the seed's base model."""
    home = directory / name
    if not (home / "thumbwheel.toml").exists():
        home.mkdir(exist_ok=True)
        write_events(home / "events.jsonl", World(options))
        shutil.copy(directory / f"seed-{options.seed % ELSEWHERE}" / "thumbwheel.toml", home)
    return load_config(home / "thumbwheel.toml")


def _load_models(config: Config, journal: CycleJournal) -> dict[str, AdaptedModel]:
    trained = journal.read("training", TrainResult)
    assert trained is not None
    base = load_base(config.model.path)
    return {
        name: AdaptedModel(
            base,
            name,
            adapter,
            settings=config.evaluation,
            max_length=config.training.max_length,
        )
        for name, adapter in (("base", None), ("candidate", trained.adapter))
    }


def _audit(config: Config) -> AuditReport:
    """Audit the pairs as `thumbwheel audit` does."""
    with current_pairs(config, Silent()) as (snapshot, pairing):
        proposed = [table.select(PAIRS.names) for table in (pairing.pairs, pairing.dropped)]
        return audit_pairs(
            before=pa.concat_tables(proposed),
            after=pairing.pairs,
            rated=pq.read_table(snapshot.path / RATED_FILE),
            votes=pq.read_table(snapshot.path / VOTES_FILE),
            config=config.audit,
            seed=0,
        )


def _change(metric: MetricReport) -> tuple[float, float]:
    return metric.champion.value, metric.candidate.value


def _correlate_reward_with_length(config: Config, journal: CycleJournal, seed: int) -> float:
    """Return Spearman's correlation on new answers of the app to held-out prompts.

    The app's answers are as often long when they are polite as when they are blunt.
    """
    from scipy.stats import spearmanr

    held_out = read_pairs(journal.path / "dataset" / "eval.parquet")["prompt"].to_pylist()
    prompts = {prompt[0]["content"]: prompt for prompt in held_out}
    answers = [
        (prompts[prompt], completion)
        for prompt, completion in World(WorldOptions(seed=ELSEWHERE + seed)).chats(epochs=4)
        if prompt in prompts
    ]
    models = _load_models(config, journal)
    before, after = (
        [score.total for score in model.log_probs(*map(list, zip(*answers, strict=True)))]
        for model in (models["base"], models["candidate"])
    )
    rewards = [new - old for old, new in zip(before, after, strict=True)]
    return float(spearmanr(rewards, [len(completion) for _, completion in answers]).statistic)
