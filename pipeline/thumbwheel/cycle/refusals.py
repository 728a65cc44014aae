"""Pairs that nothing is trained on: none, too few to judge by, or too many the wrong way round."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.config import Config
from thumbwheel.errors import ConfigError, DataError, LimitError
from thumbwheel.evidence.audit import audit_wrong_pairs
from thumbwheel.pairs import Pairing
from thumbwheel.types import Part, PreferenceDataset
from thumbwheel.types.fates import completions_in_words, pairs_in_words

__all__ = ["refuse_none", "refuse_too_few", "refuse_wrong"]


def refuse_none(dataset: PreferenceDataset, pairing: Pairing) -> None:
    """Refuse a dataset that lacks pairs to train on, or to evaluate on.

    Raises:
        DataError: It does; the message says what became of the answers.
    """
    if dataset.n_train and dataset.n_eval:
        return
    side = "to train on" if not dataset.n_train else "held out to evaluate on"
    answers, dropped = pairing.completions, pairing.dropped_pairs()
    found = [f"{n:,} {words}" for words, n in completions_in_words(answers).items()]
    found += [f"{n:,} pairs dropped: {words}" for words, n in pairs_in_words(dropped).items()]
    raise DataError(
        f"no pairs {side}; rated answers: {', '.join(found) or 'none'}. "
        "Collect more feedback, or loosen the plugins (`thumbwheel pairs` shows what they do)"
    )


def refuse_too_few(config: Config, pairs: pa.Table) -> None:
    """Refuse a set of which too few prompts are held out to promote anything.

    Args:
        config: `min_prompts`, and what caps the held-out prompts.
        pairs: `pairs.DRAWN`. A set without a side passes: `refuse_none` knows more about it.

    Raises:
        ConfigError: A cap is below `min_prompts`.
        DataError: There are too few.
    """
    least = config.gate.min_prompts
    is_held_out = pc.equal(pairs["part"], Part.HELD_OUT)
    n = len(pairs["prompt_id"].filter(is_held_out).unique())
    if not n or not len(pairs) - pc.sum(is_held_out).as_py():
        return
    limits = {
        "`max_eval_pairs` in [dataset]": config.dataset.max_eval_pairs,
        "`max_generations` in [evaluation]": config.evaluation.max_generations,
    }
    for name, limit in limits.items():
        if limit is not None and limit < least:
            raise ConfigError(
                f"nothing was trained: {name} is {limit:,}, and `min_prompts` in [gate] asks "
                f"for {least:,} held-out prompts; raise the one, or lower the other"
            )
    if n < least:
        raise DataError(
            f"nothing was trained: {n:,} prompts are held out, and no candidate is promoted "
            f"on fewer than {least:,} (`min_prompts` in [gate]); about {least / n:.1f} times "
            "as much feedback would do. `thumbwheel cycle --train-anyway` trains all the same"
        )


def refuse_wrong(config: Config, pairs: pa.Table, snapshot: Path) -> None:
    """Refuse a set of which too many pairs are surely the wrong way round.

    Args:
        config: `max_wrong_pairs`.
        pairs: `pairs.DRAWN`.
        snapshot: What they were made from.

    Raises:
        LimitError: Too many are.
    """
    wrong = audit_wrong_pairs(snapshot, pairs, config)
    limit, share = config.audit.max_wrong_pairs, wrong.share
    if share is not None and share.low > limit:
        raise LimitError(
            f"nothing was trained: an estimated {share.value:.0%} of the pairs are the wrong "
            f"way round, {share.low:.0%} at least, and `max_wrong_pairs` in [audit] allows "
            f"{limit:.0%}; `thumbwheel audit` says what to do about it, and a higher "
            "`max_wrong_pairs` (1 sets no limit) or `thumbwheel cycle --train-anyway` trains "
            "all the same"
        )
