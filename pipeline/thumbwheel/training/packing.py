"""Completions behind one copy of their prompt, laid out so that each token is read once.

Of a prompt p with distinct completions c1, c2, ... a row holds p without its last token, then a
branch for each completion: the last token of p, then the completion without its last token. Each
token of a branch predicts the next one of its own completion, so that the predictions need no
shifting; what predicts nothing is not read at all. Positions begin anew behind the shared part, and
a token sees the shared part and what stands before it in its own branch. Equal to one sequence for
each completion by construction (as in Krishnamoorthy et al., arXiv 2410.20305, section 3).

Imports torch: only the trainer imports this module.
"""

from typing import NamedTuple

import torch

from thumbwheel.training.arrangement import cut_branches, fill_rows
from thumbwheel.training.sequences import Sequences, by_prompt, n_read

__all__ = ["mask", "pack"]


class _Piece(NamedTuple):
    shared: tuple[int, ...]
    branches: list[tuple[int, ...]]

    @property
    def n_tokens(self) -> int:
        return len(self.shared) + sum(n_read(branch) for branch in self.branches)


def pack(
    sequences: Sequences, *, width: int, pad_token_id: int, square: float
) -> dict[str, torch.Tensor]:
    """Lay sequences out for one pass.

    Args:
        sequences: n prompts with completions; what they have in common is found by comparing them.
        width: The length to which TRL pads these sequences, W.
        pad_token_id: What fills the rows.
        square: See `arrangement`.

    Returns:
        For R rows of T tokens and N scored tokens, all int64: `input_ids`, `position_ids`, `piece`
        and `branch`, shape (R, T): `piece` counts a row's pieces from 1 and is 0 on padding,
        `branch` counts a piece's branches from 1 and is 0 on its shared part. `scored`, shape (N,):
        where in the flattened rows predictions are asked for; `labels`, shape (N,): what comes
        next there. `source`, shape (n, W - 1): which of the N a position of TRL's shifted labels
        is, N where it is none.
    """
    pieces: list[_Piece] = []
    starts: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[int, int]] = {}
    for prompt, completions in by_prompt(sequences).items():
        shared = prompt[:-1]
        branches = [prompt[-1:] + completion for completion in completions]
        sizes = [n_read(branch) for branch in branches]
        for members in cut_branches(len(shared), sizes, square):
            for order, member in enumerate(members):
                starts[prompt, completions[member]] = (len(pieces), order)
            pieces.append(_Piece(shared, [branches[member] for member in members]))
    rows = fill_rows([piece.n_tokens for piece in pieces], square)
    length = max(sum(pieces[i].n_tokens for i in row) for row in rows)
    tokens, positions, owner, branch_of = (
        torch.full((len(rows), length), fill) for fill in (pad_token_id, 0, 0, 0)
    )
    scored: list[int] = []
    labels: list[int] = []
    first: dict[tuple[int, int], int] = {}
    for row, members in enumerate(rows):
        at = 0
        for number, member in enumerate(members, start=1):
            shared, branches = pieces[member]
            parts = [(0, 0, shared), *((k, len(shared), b) for k, b in enumerate(branches, 1))]
            for k, position, ids in parts:
                read = ids if k == 0 else ids[:-1]
                where = slice(at, at + len(read))
                tokens[row, where] = torch.tensor(read, dtype=torch.long)
                positions[row, where] = torch.arange(position, position + len(read))
                owner[row, where] = number
                branch_of[row, where] = k
                if k:
                    first[member, k - 1] = len(scored)
                    scored.extend(range(row * length + at, row * length + at + len(read)))
                    labels.extend(ids[1:])
                at += len(read)
    source = torch.full((len(sequences), width - 1), len(scored))
    for row, (given, answer) in enumerate(sequences):
        prompt, completion = tuple(given), tuple(answer)
        n_scored = n_read(prompt[-1:] + completion)
        begin = first[starts[prompt, completion]]
        left = max(0, len(prompt) - 1)
        source[row, left : left + n_scored] = torch.arange(begin, begin + n_scored)
    return {
        "input_ids": tokens,
        "position_ids": positions,
        "piece": owner,
        "branch": branch_of,
        "scored": torch.tensor(scored, dtype=torch.long),
        "labels": torch.tensor(labels, dtype=torch.long),
        "source": source,
    }


def mask(packed: dict[str, torch.Tensor], *, window: int | None = None) -> torch.Tensor:
    """Return which token (second last dimension) sees which (last): bool, shape (R, 1, T, T).

    Args:
        packed: Of `pack`.
        window: How many positions a token sees, itself included; None for all before it.
    """
    piece, branch, position = packed["piece"], packed["branch"], packed["position_ids"]
    order = torch.arange(piece.shape[1], device=piece.device)
    seen = order[:, None] >= order
    seen = seen & (piece[:, :, None] == piece[:, None])
    seen &= (branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])
    if window is not None:
        seen &= position[:, None] > position[:, :, None] - window
    return seen[:, None]
