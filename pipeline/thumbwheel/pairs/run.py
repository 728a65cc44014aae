"""A snapshot's pairs: proposed, screened, split, drawn, and why the rest was left out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.config import Config, PairsConfig
from thumbwheel.errors import ConfigError
from thumbwheel.measures.style import FEATURES
from thumbwheel.pairs.candidates import (
    CandidateFiles,
    CandidateWriter,
    prompt_digests,
    whole_prompts,
)
from thumbwheel.pairs.chunks import ChunkRunner, pair_here
from thumbwheel.pairs.draw import draw_pairs
from thumbwheel.pairs.evidence import Evidence, prompts_of, style_of, votes_about
from thumbwheel.pairs.merge import merge_near_duplicates
from thumbwheel.pairs.pairing import DRAWN, Pairing
from thumbwheel.pairs.ray_tasks import pair_with_ray
from thumbwheel.pairs.shares import share_that_holds_out
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin.host import Plugins
from thumbwheel.store import COMPARISONS_FILE, RATED_FILE, VOTES_FILE
from thumbwheel.store.scratch import room_in
from thumbwheel.tables import VOTES
from thumbwheel.types import Part
from thumbwheel.types.fates import Fate

__all__ = ["chunk_runner", "pair_snapshot"]

_TRIES = 4
"""Shares to try until enough prompts are held out."""

_IDENTITIES = ["pair_id", "prompt_id", "chosen_id", "rejected_id", "confidence", "plugin", "origin"]


def chunk_runner(config: Config) -> ChunkRunner:
    """Return what pairs the chunks: this process, or tasks of Ray."""
    return partial(pair_with_ray, config=config) if config.execution.runner == "ray" else pair_here


def pair_snapshot(
    snapshot: Path,
    plugins: Plugins,
    config: PairsConfig,
    *,
    held_out: float,
    judge: float,
    memory: SplitMemory,
    max_looks: int | None = None,
    min_held_out: int = 0,
    work: Path,
    earlier: Path | None = None,
    runner: ChunkRunner = pair_here,
    progress: Callable[[float], None],
) -> Pairing:
    """Pair every prompt of a snapshot with the configured plugins, and draw the set.

    Prompts are taken in chunks, so that memory is bounded by a chunk, the identities of the
    candidates, and the set.

    Args:
        snapshot: The directory of `store.Snapshot`.
        plugins: Their `make_pairs` and `screen_pairs` hooks are called.
        config: The draw.
        held_out: Share of prompts held out.
        judge: Share of prompts that teach the judge.
        memory: The parts that prompts were in before; nothing is remembered here.
        max_looks: See `SplitMemory.assign`.
        min_held_out: Prompts to hold out in any case: where `held_out` gives fewer in the set, and
            a share up to `shares.MOST_HELD_OUT` gives as many, it takes the place of `held_out`.
        work: A directory for the candidates; one that is there already is replaced.
        earlier: The `work` of an earlier call: prompts that did not change since are not paired
            anew.
        runner: Pairs the chunks, see `chunk_runner`.
        progress: Called with the share done, in [0, 1].

    Raises:
        ConfigError: A feature to balance is unknown.
        DiskFullError: There is no space left for the candidates.
        PluginError: A screen failed, or every plugin that makes pairs.
    """
    for name in config.balance:
        if name not in FEATURES:
            raise ConfigError(
                f"`pairs.balance` names {name!r}, which is no style feature; there are "
                f"{', '.join(FEATURES)}"
            )
    files = _candidates(snapshot, plugins, config, work, earlier, runner, progress)
    candidates = files.read("candidates", _IDENTITIES)
    prompts = prompts_of(files)
    style = style_of(files, config.balance)
    evidence = (
        votes_about(snapshot / VOTES_FILE, candidates, work)
        if config.caps_raters
        else Evidence(candidates, VOTES.empty_table())
    )

    def split(share: float) -> _Split:
        assigned = memory.assign(
            prompts["prompt_id"],
            prompts["prompt"],
            held_out=share,
            judge=judge,
            threshold=config.near_duplicate,
            max_looks=max_looks,
        )
        return _split_and_draw(assigned, candidates, style, evidence, config, plugins, share)

    drawn = split(held_out)
    if drawn.n_held_out < min_held_out:
        drawn = _held_out_more(drawn, split, min_held_out, held_out=held_out, judge=judge)
    fates, assigned = drawn.fates, drawn.assigned
    fate = pa.array(fates, pa.string())
    limits = pa.array([str(config.max_per_prompt), str(config.max_per_cluster)])
    capped = pa.array([Fate.OVER_PROMPT_CAP, Fate.OVER_CLUSTER_CAP], pa.string())
    detail = limits.take(pc.index_in(fate, capped))
    by = pa.repeat(pa.scalar("draw"), len(fate))
    out = pa.table({"fate": fate, "detail": detail, "by": by})
    pairs = files.read("candidates")
    pairs = pairs.append_column("cluster_id", drawn.clusters)
    pairs = pairs.append_column("part", drawn.parts)
    pairs = pairs.filter(pc.is_null(fate)).cast(DRAWN).sort_by("pair_id")
    return Pairing(
        pairs,
        assigned,
        sorted(drawn.unbalanced),
        dict(plugins.failed),
        files,
        out,
        raised_to=drawn.share if drawn.share > held_out else None,
    )


@dataclass(frozen=True)
class _Split:
    """The candidates as a share of held-out prompts splits them, and what is drawn.

    `fates`, `parts` and `clusters` are of each candidate; a fate of None is in the set.
    """

    share: float
    assigned: pa.Table
    parts: pa.Array
    clusters: pa.Array
    fates: npt.NDArray[np.object_]
    unbalanced: set[str]
    n_held_out: int


def _split_and_draw(
    assigned: pa.Table,
    candidates: pa.Table,
    style: npt.NDArray[np.float64],
    evidence: Evidence,
    config: PairsConfig,
    plugins: Plugins,
    share: float,
) -> _Split:
    where = pc.index_in(candidates["prompt_id"], assigned["prompt_id"].combine_chunks())
    parts, clusters = (
        assigned[name].combine_chunks().take(where) for name in ("part", "cluster_id")
    )
    fates = np.array(assigned["fate"].combine_chunks().take(where).to_pylist(), dtype=object)
    failed = pc.is_in(candidates["plugin"], pa.array(list(plugins.failed), pa.string()))
    fates[failed.to_numpy(zero_copy_only=False)] = Fate.PLUGIN_FAILED
    unbalanced: set[str] = set()
    for part in Part:
        is_in = pc.fill_null(pc.equal(parts, part), False).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(is_in & (fates == None))  # noqa: E711 - elementwise
        taken = pa.array(rows)
        draw = draw_pairs(
            evidence.candidates.take(taken),
            clusters.take(taken),
            style[rows],
            evidence.votes,
            config,
        )
        fates[rows] = draw.fates.to_numpy(zero_copy_only=False)
        unbalanced.update(draw.unbalanced)
    is_held_out = pc.fill_null(pc.equal(parts, Part.HELD_OUT), False)
    is_in_set = pc.and_(is_held_out, pa.array(fates == None))  # noqa: E711
    n_held_out = len(candidates["prompt_id"].filter(is_in_set).unique())
    return _Split(share, assigned, parts, clusters, fates, unbalanced, n_held_out)


def _held_out_more(
    first: _Split, split: Callable[[float], _Split], enough: int, *, held_out: float, judge: float
) -> _Split:
    """Return the candidates with so many held-out prompts in the set, if a larger share does it."""
    drawn = first
    for _ in range(_TRIES):
        # The draw loses some.
        parts = drawn.assigned["part"]
        n_assigned = pc.sum(pc.equal(parts, Part.HELD_OUT), min_count=0).as_py()
        wanted = n_assigned + enough - drawn.n_held_out
        share = share_that_holds_out(drawn.assigned, wanted, held_out=held_out, judge=judge)
        if share is None or share <= drawn.share:
            break
        drawn = split(share)
        if drawn.n_held_out >= enough:
            return drawn
    return first


def _candidates(
    snapshot: Path,
    plugins: Plugins,
    config: PairsConfig,
    work: Path,
    earlier: Path | None,
    runner: ChunkRunner,
    progress: Callable[[float], None],
) -> CandidateFiles:
    """Write the candidates of every prompt: anew, or as they were where nothing has changed."""
    rated, comparisons = snapshot / RATED_FILE, snapshot / COMPARISONS_FILE
    old = CandidateFiles(earlier) if earlier else None
    with room_in(work):
        with CandidateWriter(work) as writer:
            if config.across_near_duplicates:
                rated, comparisons = merge_near_duplicates(
                    rated, comparisons, config.near_duplicate, work
                )
            digests = prompt_digests(rated, comparisons, work)
            merged = config.near_duplicate if config.across_near_duplicates else None
            made_by = repr((version("thumbwheel"), plugins.infos, merged))
            known = old.unchanged(digests, made_by) if old else pa.array([], pa.string())
            if old and len(known):
                for part in old.of_prompts(known):
                    writer.add(part)
            for done, chunk in runner(whole_prompts(rated, comparisons, known), plugins):
                writer.add(chunk)
                progress(done)
        if not plugins.failed:
            writer.finish(digests, made_by)
    return CandidateFiles(work)
