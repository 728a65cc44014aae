"""Well-known keys and tokens, by the forms that their issuers give them.

Every pattern takes linear time, whatever the text: an unlimited repetition is possessive, and only
begins behind a literal or at the start of a word.
"""

import re
from collections.abc import Iterator

from thumbwheel_plugins.redact.scanner import Span

__all__ = ["PATTERNS", "find_secrets"]

# In JSON or code an escaped line break may stand before a key: its letter is no part of a word.
_START = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"

_TABLE = [
    # (kind, what a text must contain, pattern: its group `secret`, or else all of it, is replaced)
    (
        "PRIVATE_KEY",
        ["PRIVATE KEY"],
        # A whole block, or a header and the lines of one that was cut. No group is repeated
        # possessively: Python 3.11 may then overlook a match (python/cpython#101955).
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[^-]*(?:-(?!----)[^-]*)*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{16,}+)*)",
    ),
    (
        "AWS_KEY",
        ["AKIA", "ASIA", "ABIA", "ACCA"],
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])",
    ),
    (
        "AWS_KEY",
        ["aws", "AWS"],
        r"(?i:aws_?(?:secret)?_?(?:access)?_?key)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
        r"(?P<secret>[A-Za-z0-9+/]{40})(?![A-Za-z0-9+/])",
    ),
    ("AZURE_KEY", ["AccountKey="], r"AccountKey=(?P<secret>[A-Za-z0-9+/]{86}==)"),
    ("GOOGLE_KEY", ["AIza"], r"AIza[\w-]{35}"),
    ("GOOGLE_KEY", ["GOCSPX-"], r"GOCSPX-[\w-]{28}"),
    ("GOOGLE_KEY", ["ya29."], r"ya29\.[\w-]{20,}+"),
    ("OPENAI_KEY", ["sk-"], r"sk-(?:proj|svcacct|admin|None)-[\w-]{20,}+"),
    ("OPENAI_KEY", ["sk-"], r"sk-[A-Za-z0-9]{32,}+"),
    ("ANTHROPIC_KEY", ["sk-ant-"], r"sk-ant-[\w-]{20,}+"),
    ("OPENROUTER_KEY", ["sk-or-"], r"sk-or-v1-[0-9a-f]{64}"),
    ("LANGFUSE_KEY", ["sk-lf-"], r"sk-lf-[0-9a-f-]{36}"),
    ("HUGGING_FACE_TOKEN", ["hf_"], r"hf_[A-Za-z0-9]{30,}+"),
    ("GROQ_KEY", ["gsk_"], r"gsk_[A-Za-z0-9]{40,}+"),
    ("XAI_KEY", ["xai-"], r"xai-[A-Za-z0-9]{60,}+"),
    ("PERPLEXITY_KEY", ["pplx-"], r"pplx-[A-Za-z0-9]{40,}+"),
    ("REPLICATE_TOKEN", ["r8_"], r"r8_[A-Za-z0-9]{37,}+"),
    ("GITHUB_TOKEN", ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"gh[pousr]_[A-Za-z0-9]{36,}+"),
    ("GITHUB_TOKEN", ["github_pat_"], r"github_pat_\w{22,}+"),
    ("GITLAB_TOKEN", ["glpat-"], r"glpat-[\w.-]{20,}+"),
    ("SLACK_TOKEN", ["xox", "xapp-"], r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}+"),
    ("SLACK_WEBHOOK", ["hooks.slack.com"], r"https://hooks\.slack\.com/[\w/]{20,}+"),
    ("STRIPE_KEY", ["k_live_", "k_test_"], r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}+"),
    ("STRIPE_KEY", ["whsec_"], r"whsec_[A-Za-z0-9+/=]{24,}+"),
    ("TWILIO_KEY", ["AC", "SK"], r"(?:AC|SK)[0-9a-f]{32}(?![0-9A-Za-z])"),
    ("SENDGRID_KEY", ["SG."], r"SG\.[\w-]{22}\.[\w-]{43}"),
    ("MAILGUN_KEY", ["key-"], r"key-[0-9a-f]{32}(?![0-9A-Za-z])"),
    ("MAILCHIMP_KEY", ["-us"], r"[0-9a-f]{32}-us[0-9]{1,2}(?![0-9A-Za-z])"),
    ("TELEGRAM_TOKEN", [":AA"], r"[0-9]{8,10}:AA[\w-]{33}(?![\w-])"),
    (
        "DISCORD_TOKEN",
        ["MT", "Mj", "Mz", "ND", "NT", "Nj", "Nz", "OD", "OT"],
        r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])",
    ),
    ("NPM_TOKEN", ["npm_"], r"npm_[A-Za-z0-9]{36}"),
    ("PYPI_TOKEN", ["pypi-"], r"pypi-AgE[\w-]{50,}+"),
    (
        "SHOPIFY_TOKEN",
        ["shpat_", "shpca_", "shppa_", "shpss_"],
        r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}",
    ),
    ("DIGITALOCEAN_TOKEN", ["_v1_"], r"do[opr]_v1_[0-9a-f]{64}"),
    ("DATABRICKS_TOKEN", ["dapi"], r"dapi[0-9a-f]{32}"),
    ("VAULT_TOKEN", ["hvs."], r"hvs\.[\w-]{20,}+"),
    ("AGE_KEY", ["AGE-SECRET-KEY-1"], r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    ("JSON_WEB_TOKEN", ["eyJ"], r"eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+(?:\.[\w-]*+)?"),
    (
        "BEARER_TOKEN",
        ["earer "],
        # A digit tells a token from words such as "Bearer authentication-scheme".
        r"[Bb]earer (?P<secret>(?=[A-Za-z._~+/=-]*+[0-9])[A-Za-z0-9._~+/=-]{20,}+)",
    ),
    # The password in https://user:password@host.
    (
        "PASSWORD",
        ["://"],
        r"[A-Za-z][A-Za-z0-9+.]{1,20}://[^\s/:@<>\"']{0,100}+:(?P<secret>[^\s/@<>\"']{1,200}+)@",
    ),
    (
        "PASSWORD",
        ["uthorization"],
        r"[Aa]uthorization[\"']?: {0,2}[\"']?[Bb]asic (?P<secret>[A-Za-z0-9+/]{8,}+={0,2})",
    ),
]

PATTERNS = [
    (kind, re.compile(pattern if pattern[0] == "-" else _START + pattern, re.ASCII))
    for kind, _, pattern in _TABLE
]
"""(kind, pattern) of every secret that is looked for."""

_HINTS = [(hint, index) for index, (_, hints, _) in enumerate(_TABLE) for hint in hints]


def find_secrets(text: str) -> Iterator[Span]:
    """Yield the secrets of a text."""
    # Far faster than the patterns, and in most texts there is no hint.
    for index in sorted({index for hint, index in _HINTS if hint in text}):
        kind, pattern = PATTERNS[index]
        for match in pattern.finditer(text):
            start, end = match.span("secret" if pattern.groups else 0)
            yield Span(start, end, kind, 1.0)
