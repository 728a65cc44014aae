"""Every metric of answers, declared once."""

from thumbwheel.types import Metric

__all__ = ["METRICS"]

METRICS: tuple[Metric, ...] = (
    Metric(
        "answer_log_prob",
        "how likely the base model finds the answers; it falls where they are garbled",
        "higher",
        "nats per token",
    ),
    Metric(
        "unlikely",
        "how many answers the base model finds less likely than the model's median answer, by more "
        "than 2 nats a token; it rises where some are garbled",
        "lower",
        "share of answers",
    ),
    Metric(
        "relevance",
        "how often an answer is likelier behind its own prompt than behind another one, to the "
        "base model; half for answers that fit any prompt",
        "higher",
        "share of answers",
    ),
    Metric(
        "repetition",
        "how many answers repeat themselves: a fifth of their words or more end three that were "
        "there before, or follow themselves",
        "lower",
        "share of answers",
    ),
    Metric("cut_off", "how many answers ran into the longest length", "lower", "share of answers"),
    Metric("empty", "how many answers show nothing", "lower", "share of answers"),
    Metric(
        "refusals",
        "how many answers begin with a well-known English refusal, or do so behind one sentence",
        "lower",
        "share of answers",
    ),
    Metric(
        "copied_prompt",
        "how much of an answer is copied from its prompt, five words in a row or more",
        "lower",
        "share of words",
    ),
    Metric(
        "other_language",
        "how many answers are surely in another language than their prompt",
        "lower",
        "share of answers",
    ),
    Metric(
        "junk",
        "how much of an answer nobody writes: control characters, special tokens, broken encoding, "
        "turns of a user that were made up",
        "lower",
        "share of characters",
    ),
    Metric("length", "how long an answer is", "neither", "characters"),
    Metric(
        "distinct_1",
        "how many of the words of all answers are different ones",
        "higher",
        "share of words",
    ),
    Metric(
        "distinct_2",
        "how many of the pairs of words of all answers are different ones",
        "higher",
        "share of pairs of words",
    ),
    Metric(
        "self_bleu", "how alike the answers to different prompts are, by BLEU", "lower", "0 to 1"
    ),
    Metric(
        "vendi",
        "how many of the answers to one prompt are effectively different (Vendi score)",
        "higher",
        "share of answers",
    ),
    Metric(
        "kl_from_base",
        "how far the model went from the base: the mean over its own answers of log p_model - log "
        "p_base, a sampled estimate of the Kullback-Leibler divergence",
        "neither",
        "nats per token",
    ),
    Metric(
        "plain_text_log_perplexity",
        "how badly the model predicts plain text that it is shown",
        "lower",
        "nats per token",
    ),
    Metric(
        "ood_answer_log_prob",
        "how likely the base model finds answers to prompts that are unlike the app's",
        "higher",
        "nats per token",
    ),
    Metric(
        "ood_relevance",
        "how often such an answer is likelier behind its own prompt than behind another one",
        "higher",
        "share of answers",
    ),
    Metric(
        "ood_repetition", "how many of such answers repeat themselves", "lower", "share of answers"
    ),
    Metric("ood_refusals", "how many of such answers are refusals", "lower", "share of answers"),
    Metric(
        "ood_length", "how long answers to prompts unlike the app's are", "neither", "characters"
    ),
    Metric(
        "ood_kl_from_base",
        "how far the model went from the base on prompts that are unlike the app's",
        "neither",
        "nats per token",
    ),
)
"""What is measured of answers. `ood_` metrics are of the out-of-distribution prompts."""
