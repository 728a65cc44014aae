"""The configuration that `thumbwheel init` writes: commented, and complete enough to run."""

__all__ = ["TEMPLATE", "template"]

_SOURCE = """\
[[sources]]
name = "export"                 # a source's identity: its cursor is kept under this name
connector = "file"              # `thumbwheel plugins` lists the connectors and their options

[sources.options]
path = "feedback.jsonl"         # or a folder, a glob, a URL; JSONL, CSV, Parquet or a JSON array

[sources.mapping]               # which key of a record holds what; a dot reaches into objects
prompt = "prompt"               # text, or a list of {role, content} messages
completion = "response"
rating = "rating"
up = ["up", 1, true]            # ratings that count as thumbs up,
down = ["down", 0, false]       # and as thumbs down
# scale = { down = 1, up = 5 }  # or a numeric rating: `down` is -1, `up` is +1, linear between
rater = "user_id"               # who voted: one rater has one voice per answer
anonymous = ["", "anon"]        # rater ids that stand for "unknown"
# event_id = "event_id"         # without it, identical records count once
# generation_id = "answer_id"   # needed when votes come without the answer
# model_version = "model"
# comparison_id = "comparison"  # ties the votes of one side-by-side choice
# occurred_at = "timestamp"     # ISO 8601 or seconds since 1970
# turns = { "Human:" = "user", "Assistant:" = "assistant" }   # a chat kept as one string
"""

_WHOLE = """\
# Thumbwheel: from users' thumbs to a better model. `thumbwheel cycle` turns the wheel once.
# Paths are relative to this file. Secrets never stand here: options that need one name an
# environment variable.

project = "my-assistant"        # the registered model's name in MLflow
home = ".thumbwheel"            # the store, cycles, and MLflow's files

[model]
path = "models/base"            # a local Hugging Face directory with safetensors

# --- where feedback comes from ------------------------------------------------------------------

@SOURCE@

# Exports of other tools have mappings of their own: see docs/mappings.md.
# [[sources]]
# name = "web-ui"
# connector = "file"
# mapping = "open_webui"
# options.path = "exports/feedback-*.json"

# [[sources]]
# name = "thumbs"
# connector = "kafka"
# options = { topics = "thumbs", bootstrap_servers = "127.0.0.1:9092" }

# Events that are sent to this machine, while `thumbwheel serve` runs.
# [[sources]]
# name = "app"
# connector = "http"
# options = { log = "received", keys_env = "THUMBWHEEL_KEYS" }

# [serve]                       # `thumbwheel serve` reads every source all the time
# port = 8765                   # where other commands, cycles and Prometheus ask it

# --- how votes become preference pairs: plugins, in this order ------------------------------------

[[plugins]]
use = "comparisons"             # side-by-side choices, corrections and rankings, as judged

[[plugins]]
use = "all_pairs"               # every two answers the votes tell apart
[plugins.options]
min_confidence = 0.8            # least P(chosen is better)

[[plugins]]
use = "length_match"            # drops pairs of which one side is very much longer
[plugins.options]
max_ratio = 3.0                 # 1.25 where `length` is not in `balance` below

[[plugins]]
use = "near_identical"          # drops pairs with nothing to learn

# [[plugins]]
# use = "my_plugin.py:MyPlugin" # your own; see docs/plugins.md

# --- whose votes count, and which pairs are drawn -------------------------------------------------

[votes]
max_rater_share = 0.01          # one user with a thousand votes moves nothing
# half_life_days = 30           # older votes count less and less
# burst_votes = 20              # who votes 20 times in `burst_seconds` is left out

[pairs]
max_per_prompt = 3
max_rater_share = 0.01
balance = ["length", "lists", "bold", "headings", "code", "emoji"]  # alike in chosen and rejected
# near_duplicate = 0.8          # prompts this alike lie in one part of the split

# [execution]
# plugin_seconds = 600          # a plugin that takes longer over one call is stopped
# runner = "ray"                # pair in tasks of Ray

[audit]                         # `thumbwheel audit` shows what the pairs teach besides
# intended = ["hedges"]         # style that you do want to change
# max_auc = 0.6                 # exit code 7 when style alone tells chosen from rejected
# max_wrong_pairs = 0.3         # more than that surely the wrong way round: `cycle` does not train

# [endpoint]                    # writes answers to rank, and missing sides: docs/ai-pairs.md
# url = "http://127.0.0.1:8000/v1"
# model = "qwen3-8b"
# api_key_env = "ENDPOINT_KEY"

[dataset]
held_out = 0.2                  # share of prompts kept for evaluation, never trained on
judge = 0.2                     # share of prompts that teach the judge, and never the candidate
# max_train_pairs = 2000        # bounds the time of a cycle
# max_eval_pairs = 400

# --- LoRA DPO, in the words of TRL and peft -------------------------------------------------------

[training]
lora_r = 16
lora_alpha = 32
target_modules = ["q_proj", "v_proj"]
beta = 0.1
loss_type = ["sigmoid", "sft"]  # a little sft keeps generations from collapsing
loss_weights = [1.0, 0.2]
learning_rate = 5e-5
num_train_epochs = 1
per_device_train_batch_size = 2
gradient_accumulation_steps = 8
max_length = 1024

[evaluation]
max_generations = 200           # prompts of each part that the models answer, at most
max_new_tokens = 256
# answers = 4                   # to each prompt; by default as many as the guards need
# out_of_distribution = "other.jsonl"   # prompts unlike the app's, one {"prompt": ...} a line

# --- who says which of two answers is better: docs/gate.md ----------------------------------------

[[judges]]
use = "vote_model"              # learns from votes that the candidate never sees; offline
licence = 0.55                  # it decides only where it is surely right more often than this

# --- what a candidate must show to become @champion -----------------------------------------------

[gate]
min_prompts = 50
gain = 0.05                     # a win rate of .55 is worth finding
tests_per_year = 52             # how often a candidate is to be tested
false_promotions = 0.05         # share of years in which one that is no better may be promoted
# improve = ["win_rate"]        # and every guard must hold; one of yours replaces a default:
# guards = [
#     { metric = "length", max_drop = 0.25, max_rise = 0.25, relative = true },
# ]

[mlflow]
# tracking_uri = "http://127.0.0.1:5000"   # default: a sqlite file in `home`
"""


def template(source: str = _SOURCE) -> str:
    """Return a whole configuration around the TOML of a source."""
    return _WHOLE.replace("@SOURCE@\n", source)


TEMPLATE = template()
"""The configuration with an example of a source."""
