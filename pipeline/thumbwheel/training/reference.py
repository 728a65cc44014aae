"""What the reference makes of the training pairs: kept by content, so that it is computed once.

A completion's log-probability depends on the base model, its precision and the token ids alone: not
on beta, the seed, the adapter or the other pairs. It is kept where evaluation keeps the base's, and
under the same keys.

Imports no torch: the trainer that is given does.
"""

from typing import TYPE_CHECKING, Any

from thumbwheel.events import from_chat
from thumbwheel.language_model.forward import Ids
from thumbwheel.language_model.kept import Asked, Kept
from thumbwheel.training.batches import Example
from thumbwheel.training.sequences import identity
from thumbwheel.types import LogProb

if TYPE_CHECKING:
    from thumbwheel.training.trainer import Trainer

__all__ = ["give_reference"]

_SIDES = ("chosen", "rejected")
_AT_ONCE = 2000
"""Pairs whose token ids are in memory."""


def give_reference(trainer: "Trainer", kept: Kept[LogProb]) -> int:
    """Give a trainer the reference's log-probabilities of its dataset's completions.

    Args:
        trainer: Its adapter is as good as new: with the adapter disabled, it is the reference.
        kept: The base model's log-probabilities; what is missing is added part by part.

    Returns:
        How many completions the model had to read.
    """
    dataset = trainer.train_dataset
    totals: dict[str, list[float]] = {side: [] for side in _SIDES}
    n_read = 0
    for start in range(0, len(dataset), _AT_ONCE):
        some = dataset.select(range(start, min(start + _AT_ONCE, len(dataset))))
        asked = {side: [_asked(pair, side, trainer.max_length) for pair in some] for side in _SIDES}
        distinct = {it.name: it for side in _SIDES for it in asked[side] if it.name not in kept}
        missing = kept.look_up(list(distinct.values()))
        for part in trainer.collator.parts(_by_twos(missing)):
            for pair, read in zip(part, trainer.reference_of(part), strict=True):
                scores = [
                    LogProb(total, len(it.ids.completion))
                    for total, it in zip(read, pair["asked"], strict=True)
                ]
                kept.keep(pair["asked"], scores)
        n_read += len(missing)
        for side in _SIDES:
            totals[side] += [kept[it.name].total for it in asked[side]]
    trainer.know_reference(totals["chosen"], totals["rejected"])
    return n_read


def _asked(pair: dict[str, Any], side: str, max_length: int) -> Asked:
    prompt: list[int] = pair["prompt_ids"]
    # As TRL's collator cuts it.
    ids = Ids(prompt, pair[f"{side}_ids"][: max_length - len(prompt)])
    name = identity(ids.prompt) + identity(ids.completion)
    return Asked(name, from_chat(pair["prompt"]), pair[side][0]["content"], ids)


def _by_twos(missing: list[Asked]) -> list[Example]:
    """Put completions of one prompt into pairs, as the trainer takes them; one may stand twice."""
    by_prompt: dict[tuple[int, ...], list[Asked]] = {}
    for it in missing:
        by_prompt.setdefault(tuple(it.ids.prompt), []).append(it)
    return [
        {
            "prompt_ids": list(prompt),
            "chosen_ids": some[i].ids.completion,
            "rejected_ids": some[min(i + 1, len(some) - 1)].ids.completion,
            "asked": [some[i], some[min(i + 1, len(some) - 1)]],
        }
        for prompt, some in by_prompt.items()
        for i in range(0, len(some), 2)
    ]
