"""One run of `planted.py`, from the events of a world to what came of it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from planted_truth import Truth, agreement, ask, chat, measure_truth
from planted_worlds import ELSEWHERE, Run, write_world
from thumbwheel.cli.current import current_pairs
from thumbwheel.config import Config
from thumbwheel.cycle.evidence import Evidence, Unseen
from thumbwheel.cycle.journal import CycleJournal, find_report
from thumbwheel.cycle.run import run_cycle
from thumbwheel.demo.users import WorldOptions
from thumbwheel.evidence.audit import AuditReport, audit_pairs, rated_answers
from thumbwheel.evidence.budget import one_share
from thumbwheel.evidence.gate import decide
from thumbwheel.evidence.judges import VoteModel, fit_vote_model
from thumbwheel.evidence.plan import Pace
from thumbwheel.ingest import ingest_all
from thumbwheel.language_model import AdaptedModel
from thumbwheel.pairs.dataset import PART_FILES, read_clusters, read_pairs
from thumbwheel.plugin.host import isolated_plugins
from thumbwheel.registry import open_registry
from thumbwheel.store import RATED_FILE, VOTES_FILE, Store
from thumbwheel.tables import PAIRS
from thumbwheel.training import TrainResult
from thumbwheel.types import Estimate, EvalReport, Part, Prompt
from workspace import Silent, load_models

__all__ = ["Turn", "judge_by_chance", "turn"]

ANSWERS = 8
"""To each held-out prompt, to know what a candidate is truly worth."""


@dataclass(frozen=True)
class Turn:
    """What one turn of the wheel gave.

    Attributes:
        run: What was turned.
        pairs: Identities of all pairs, of all parts.
        truth: What the candidate is truly worth.
        judge: How often a vote model that learnt from the judge's part prefers what is truly
            better; .5 where there is too little to learn from.
        measured: What the gate saw: the metric's name and the candidate's value, .5 being no gain.
        promoted: The verdict.
        refusals: The gate's reasons against the candidate; none when it was promoted.
        style_auc: Of a classifier that sees only style but politeness, before and after the draw.
        agreement: Krippendorff's alpha of the votes.
        reward_length: Rank correlation of DPO's implicit reward with the length of answers in which
            length tells no other trait.
    """

    run: Run
    n_train: int
    n_eval: int
    pairs: frozenset[str]
    truth: Truth
    judge: float
    measured: tuple[str, Estimate]
    promoted: bool
    refusals: Sequence[str]
    style_auc: tuple[float, float]
    agreement: float
    reward_length: float

    @property
    def polite(self) -> tuple[float, float]:
        """Share of polite answers to held-out prompts, of base and candidate."""
        return self.truth.traits["polite"]

    @property
    def right(self) -> tuple[float, float]:
        """Share of right ones."""
        return self.truth.traits["right"]

    @property
    def gain(self) -> float:
        """The gain in polite answers."""
        return self.polite[1] - self.polite[0]

    @property
    def lengthening(self) -> float:
        """The change in length, as a share."""
        return self.truth.length[1] / self.truth.length[0] - 1

    def moved(self, clean: "Turn") -> float:
        """Return the pairs that are here or in the clean turn but not in both, per clean pair."""
        return len(self.pairs ^ clean.pairs) / len(clean.pairs)


def turn(directory: Path, run: Run) -> Turn:
    """Turn the wheel once on a world; where that was done before, only measure."""
    config = write_world(directory, run.folder, run)
    with isolated_plugins(config) as plugins:
        outcome = run_cycle(config, plugins, Silent())
    journal, report = find_report(config.layout, outcome.cycle_id)
    audit = _audit(config)
    before, after = audit.before.style_auc, audit.after.style_auc
    alpha = audit.agreement[0].alpha
    assert before is not None
    assert after is not None
    assert alpha is not None
    models = load_models(config, journal)
    held_out = _held_out_prompts(journal)
    asked = ask(models["base"], models["candidate"], held_out, ANSWERS)
    judge = _fit_judge(config, journal, models["base"])
    return Turn(
        run=run,
        n_train=report.dataset.n_train,
        n_eval=report.dataset.n_eval,
        pairs=frozenset(
            pair_id
            for part in PART_FILES
            for pair_id in read_pairs(_part(journal, part))["pair_id"].to_pylist()
        ),
        truth=measure_truth(run.planted, asked),
        judge=agreement(judge, run.planted, asked),
        measured=_measured(report.evaluation),
        promoted=report.decision.promote,
        refusals=[result.reason for result in report.decision.reasons if not result.passed],
        style_auc=(before.value, after.value),
        agreement=alpha,
        reward_length=_correlate_reward_with_length(run, models, held_out),
    )


def judge_by_chance(directory: Path, run: Run, n: int) -> list[bool]:
    """Have a turn's candidate judged by other worlds of the same kind; its turn comes first.

    Every world makes its own judge of its own votes, about the prompts that the turn did not train
    on.

    Returns:
        Whether the gate promoted it, for each of `n` worlds.
    """
    config = write_world(directory, run.folder, run)
    journal, _ = find_report(config.layout, "latest")
    trained = journal.read("training", TrainResult)
    assert trained is not None
    level = one_share(
        tests_per_year=config.gate.tests_per_year, false_promotions=config.gate.false_promotions
    )
    unseen = {part: read_pairs(_part(journal, part)) for part in (Part.JUDGE, Part.HELD_OUT)}
    verdicts = []
    with isolated_plugins(config) as plugins:
        for number in range(1, n + 1):
            options = replace(run.options, seed=run.options.seed + number * ELSEWHERE)
            with tempfile.TemporaryDirectory(dir=directory) as folder:
                of_chance = write_world(directory, folder, replace(run, options=options))
                with Store(of_chance.layout.store) as store:
                    ingest_all(of_chance, plugins, store, Silent())
                with current_pairs(of_chance, Silent()) as (snapshot, pairing):
                    pairs = pairing.pairs.select(PAIRS.names)
                    judge, held_out = (
                        pairs.filter(
                            pc.is_in(pairs["prompt_id"], table["prompt_id"].combine_chunks())
                        )
                        for table in unseen.values()
                    )
                    evidence = Evidence(
                        config,
                        plugins,
                        Silent(),
                        open_registry(of_chance),
                        Unseen(snapshot.path, judge, held_out, read_clusters(journal.dataset)),
                        None,
                    )
                    plan = evidence.plan(Pace(0, None))
                    answers = Path(folder) / "answers"
                    evaluation = evidence.gather(plan, trained.adapter, directory / answers)
            decision = decide(evaluation.report, evaluation.sealed, config.gate, level=level)
            verdicts.append(decision.promote)
    return verdicts


def _audit(config: Config) -> AuditReport:
    """Audit the pairs as `thumbwheel audit` does."""
    with current_pairs(config, Silent()) as (snapshot, pairing):
        proposed = [table.select(PAIRS.names) for table in (pairing.pairs, pairing.dropped)]
        return audit_pairs(
            before=pa.concat_tables(proposed),
            after=pairing.pairs,
            rated=pq.read_table(snapshot.path / RATED_FILE),
            answers=rated_answers(snapshot.path, pairing.pairs, 0),
            votes=pq.read_table(snapshot.path / VOTES_FILE),
            config=config.audit,
            seed=0,
            balanced=config.pairs.balance,
        )


def _part(journal: CycleJournal, part: Part) -> Path:
    return journal.dataset / PART_FILES[part]


def _held_out_prompts(journal: CycleJournal) -> list[str]:
    prompts = read_pairs(_part(journal, Part.HELD_OUT))["prompt"].to_pylist()
    return sorted({prompt[0]["content"] for prompt in prompts})


def _fit_judge(config: Config, journal: CycleJournal, base: AdaptedModel) -> VoteModel:
    pairs, clusters = read_pairs(_part(journal, Part.JUDGE)), read_clusters(journal.dataset)
    return fit_vote_model(base, pairs, clusters, seed=config.evaluation.seed)


def _measured(report: EvalReport) -> tuple[str, Estimate]:
    """Return the metric that the gate goes by: of answers where they are judged."""
    name = "win_rate" if "win_rate" in report.metrics else "margin_gain"
    return name, report.metrics[name].candidate


def _correlate_reward_with_length(
    run: Run, models: Mapping[str, AdaptedModel], held_out: Sequence[str]
) -> float:
    """Return Spearman's correlation on new answers of the app to held-out prompts.

    The app's answers are as often long when they are polite as when they are not.
    """
    from scipy.stats import spearmanr

    elsewhere = replace(run, options=WorldOptions(seed=ELSEWHERE + run.options.seed)).planted
    answers = [answer for answer in elsewhere.chats(epochs=4) if answer[0] in set(held_out)]
    prompts: list[Prompt] = [chat(prompt) for prompt, _ in answers]
    completions = [completion for _, completion in answers]
    before, after = (
        [score.total for score in models[name].log_probs(prompts, completions)]
        for name in ("base", "candidate")
    )
    rewards = [new - old for old, new in zip(before, after, strict=True)]
    return float(spearmanr(rewards, [len(completion) for completion in completions]).statistic)
