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
from thumbwheel.training.batches import Example, sequences_of
from thumbwheel.types import LogProb

if TYPE_CHECKING:
    from thumbwheel.training.trainer import Trainer

__all__ = ["give_reference"]


def give_reference(trainer: "Trainer", kept: Kept[LogProb]) -> int:
    """Give a trainer the reference's log-probabilities of its dataset's completions.

    Args:
        trainer: Its adapter is as good as new: with the adapter disabled, it is the reference.
        kept: The base model's log-probabilities; what is missing is added part by part.

    Returns:
        How many completions the model had to read.
    """
    asked: dict[str, Asked] = {}
    names: list[tuple[str, str]] = []
    for pair in trainer.train_dataset:
        chosen, rejected = (
            _asked(pair, side, Ids(list(prompt), list(completion)))
            for side, (prompt, completion) in zip(
                ("chosen", "rejected"), sequences_of([pair], trainer.max_length), strict=True
            )
        )
        names.append((str(chosen.name), str(rejected.name)))
        asked |= {str(it.name): it for it in (chosen, rejected)}
    missing = kept.look_up(list(asked.values()))
    for part in trainer.collator.parts(_by_twos(missing)):
        for pair, totals in zip(part, trainer.reference_of(part), strict=True):
            scores = [
                LogProb(total, len(it.ids.completion))
                for total, it in zip(totals, pair["asked"], strict=True)
            ]
            kept.keep(pair["asked"], scores)
    trainer.know_reference(
        [kept[chosen].total for chosen, _ in names], [kept[rejected].total for _, rejected in names]
    )
    return len(missing)


def _asked(pair: dict[str, Any], side: str, ids: Ids) -> Asked:
    return Asked(str(tuple(ids)), from_chat(pair["prompt"]), pair[side][0]["content"], ids)


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
