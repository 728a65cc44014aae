"""A model that reads packed sequences and answers in TRL's layout.

TRL's loss calls `model(**batch, labels=..., fused_lm_head=True)` and reads values per token in the
layout [chosen..., rejected...]. A batch with `packed` in it (see `packing`) is read as that: the
model's own layers and TRL's own head see each prompt once, and what they return is laid back into
TRL's shape. No line of the loss knows.

Imports torch: only the trainer imports this module.
"""

import functools
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from thumbwheel.training.packing import mask

__all__ = ["MaskForm", "attention_of", "attention_square", "mask_forms", "read_packed"]

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.02}
"""In nats: a token's largest difference in float32, else the mean, which rounding blurs less."""

_KINDS = {"full_attention", "sliding_attention"}
_PER_TOKEN = (
    "log_probs",
    "entropy",
    "log_sum_sq_probs",
    "mean_logits",
    "is_top1",
    "label_mask",
)


class MaskForm(NamedTuple):
    """How a model takes a mask of one's own.

    Attributes:
        by_kind: A mask for each kind of layer, else one for all.
        window: How many positions sliding layers see, or all layers where the mask is one; None
            where nothing that is read is longer.
        as_numbers: What attention adds to its scores, in place of what it may see.
    """

    by_kind: bool
    window: int | None
    as_numbers: torch.dtype | None


def mask_forms(model: Any, longest: int) -> list[MaskForm]:
    """Return the forms that may be the model's; which of them is, shows when it is tried.

    Args:
        model: A `transformers` causal language model.
        longest: Tokens of the longest sequence.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is not None and window >= longest:
        window = None
    attention = attention_of(model)
    if attention not in ("sdpa", "eager"):
        return []
    numbers = model.dtype if attention == "eager" else None
    kinds = set(getattr(config, "layer_types", None) or ())
    forms = [MaskForm(True, window, numbers)] if kinds and kinds <= _KINDS else []
    return [*forms, *(MaskForm(False, it, numbers) for it in dict.fromkeys((window, None)))]


def attention_of(model: Any) -> str:
    """Return the name of the attention that a `transformers` model was loaded with."""
    return str(model.config.get_text_config()._attn_implementation)  # noqa: SLF001 - has no other


def read_packed(
    model: Any,
    forms: Sequence[MaskForm],
    batch: dict[str, Any],
    log_probs: Callable[[dict[str, Any]], torch.Tensor],
) -> str | None:
    """Have a causal language model with TRL's fused head read `packed` where a batch holds it.

    Args:
        model: The model without peft's wrapper; its `forward` is replaced.
        forms: Those that may be the model's. The first that gives the log-probabilities of TRL's
            layout is taken.
        batch: What they are tried on: TRL's batch with `packed`.
        log_probs: Returns the model's log-probabilities of a batch, per token.

    Returns:
        Why the model cannot read packed sequences, in a few words, or None.
    """
    plain = log_probs({name: value for name, value in batch.items() if name != "packed"})
    if not plain.isfinite().all():
        return "its log-probabilities are not finite"
    fused, reasons = model.forward, []
    for form in forms:
        model.forward = types.MethodType(_forward(type(model), fused, form), model)
        try:
            apart = (log_probs(batch) - plain).abs()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # A model's own code, given what it does not foresee, raises anything.
            reasons.append(" ".join(f"it refuses the mask ({error})".split()))
            continue
        difference = float(apart.max() if model.dtype == torch.float32 else apart.mean())
        if difference <= _TOLERANCE.get(model.dtype, 0.0):
            return None
        reasons.append(f"its log-probabilities would differ by {difference:.2g}")
    model.forward = fused
    return reasons[-1]


def _forward(cls: type, fused: Callable[..., Any], form: MaskForm) -> Callable[..., Any]:
    # The signature is kept: `generate` looks at it.
    @functools.wraps(cls.forward)  # type: ignore[attr-defined]
    def forward(self: Any, *args: Any, packed: Any = None, **kwargs: Any) -> Any:
        if packed is None or not kwargs.get("fused_lm_head"):
            return fused(*args, **kwargs)
        with _only_scored(self.base_model, packed["scored"]):
            outputs = fused(
                input_ids=packed["input_ids"],
                position_ids=packed["position_ids"],
                attention_mask=_masks(packed, form),
                shift_labels=packed["labels"][None],
                fused_lm_head=True,
            )
        for name in _PER_TOKEN:
            if name in outputs:
                values = outputs[name][0]
                # Stands where nothing is scored.
                nothing = values.new_zeros(1)
                outputs[name] = torch.cat([values, nothing])[packed["source"]]
        return outputs

    return forward


def attention_square(model: Any) -> float:
    """Return at how many tokens in a row attention takes as long as all else; see `arrangement`.

    Per token, a matrix multiplication with n weights takes 2n operations and attention over t
    tokens with a width w takes 4tw. Going back, frozen weights take as much again; attention over
    a dense mask takes more, so that it counts double (measured on a CPU: 2.2).
    """
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    tables = {id(p) for p in (model.get_input_embeddings().weight, _head(model))}
    weights = sum(p.numel() for p in model.parameters() if id(p) not in tables)
    return float(weights / config.num_hidden_layers / (4 * width))


def _head(model: Any) -> Any:
    head = model.get_output_embeddings()
    return None if head is None else head.weight


def _masks(packed: dict[str, torch.Tensor], form: MaskForm) -> Any:
    def one(window: int | None) -> torch.Tensor:
        seen = mask(packed, window=window)
        if form.as_numbers is None:
            return seen
        numbers = torch.zeros(seen.shape, dtype=form.as_numbers, device=seen.device)
        return numbers.masked_fill_(~seen, torch.finfo(form.as_numbers).min)

    if not form.by_kind:
        return one(form.window)
    full = one(None)
    sliding = full if form.window is None else one(form.window)
    return {"full_attention": full, "sliding_attention": sliding}


@contextmanager
def _only_scored(layers: Any, scored: torch.Tensor) -> Iterator[None]:
    """Keep from the head what it is not asked for."""

    def keep(module: Any, args: Any, outputs: Any) -> Any:
        states = outputs["last_hidden_state"]
        outputs["last_hidden_state"] = states.flatten(0, 1).index_select(0, scored)[None]
        return outputs

    handle = layers.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
