"""Which prompts the models are asked, and the pairs of people's judgements about them.

Prompts of the judge's part are open: what is measured on them is shown. Held-out prompts are
sealed: they decide, and of them only the verdict is shown (see `sealed`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.errors import DataError
from thumbwheel.types import Prompt

__all__ = ["Asked", "choose_prompts"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a candidate and the champion are asked.

    Attributes:
        open_pairs: Pairs of the judge's part, `tables.PAIRS`.
        sealed_pairs: Held-out pairs, of the sealed prompts only.
        prompts: Every prompt by its id, in a fixed order.
        open: Ids of the prompts whose numbers are shown.
        sealed: Ids of the held-out prompts.
        clusters: The cluster of each prompt.
    """

    open_pairs: pa.Table
    sealed_pairs: pa.Table
    prompts: Mapping[str, Prompt]
    open: Sequence[str]
    sealed: Sequence[str]
    clusters: Mapping[str, str]

    @property
    def pairs(self) -> pa.Table:
        """The pairs about all prompts."""
        return pa.concat_tables([self.open_pairs, self.sealed_pairs])


def choose_prompts(
    open_pairs: pa.Table,
    sealed_pairs: pa.Table,
    clusters: Mapping[str, str],
    looks: Mapping[str, Sequence[str]],
    *,
    promotion: str | None = None,
    fewest: int = 1,
    most: int,
) -> Asked:
    """Choose at most so many prompts of each part: of the held-out ones those looked at least.

    A champion that was promoted by luck was lucky on the prompts that promoted it, and who follows
    it would have to be as lucky there. So those are left out, with their near-duplicates, where
    there are as many others.

    Args:
        open_pairs: Pairs of the judge's part.
        sealed_pairs: Held-out pairs.
        clusters: The cluster of each of their prompts.
        looks: The looks at each held-out prompt, by name; none, if it is not there.
        promotion: The look that promoted the champion.
        fewest: Prompts that there have to be without those of the promotion.
        most: Prompts of each part, at most.

    Raises:
        DataError: There are no held-out pairs.
    """
    if not len(sealed_pairs):
        raise DataError(
            "no held-out pairs to evaluate on; collect more feedback, or raise `dataset.held_out`"
        )
    known = {**_prompts(open_pairs), **_prompts(sealed_pairs)}
    shown = sorted(_prompts(open_pairs))[:most]
    held_out = sorted(_prompts(sealed_pairs), key=lambda name: (len(looks.get(name, ())), name))
    lucky = {clusters[name] for name in held_out if promotion in looks.get(name, ())}
    others = [name for name in held_out if clusters[name] not in lucky]
    enough = max(fewest, len(held_out) - len(others))
    sealed = (others if len(others) >= enough else held_out)[:most]
    return Asked(
        open_pairs=_of(open_pairs, shown),
        sealed_pairs=_of(sealed_pairs, sealed),
        prompts={name: known[name] for name in (*shown, *sorted(sealed))},
        open=shown,
        sealed=sorted(sealed),
        clusters={name: clusters[name] for name in (*shown, *sealed)},
    )


def _prompts(pairs: pa.Table) -> dict[str, Prompt]:
    return dict(zip(pairs["prompt_id"].to_pylist(), pairs["prompt"].to_pylist(), strict=True))


def _of(pairs: pa.Table, prompts: Sequence[str]) -> pa.Table:
    return pairs.filter(pc.is_in(pairs["prompt_id"], pa.array(prompts, pa.string())))
