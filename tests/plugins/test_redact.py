"""`redact` on single texts: what is found, what is left alone, and that nothing takes long."""

import logging
import socket
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from thumbwheel.config import PluginConfig
from thumbwheel.errors import PluginError
from thumbwheel.plugin import PluginManager
from thumbwheel_plugins.redact import Redact
from thumbwheel_plugins.redact.contacts import _suffixes
from thumbwheel_plugins.redact.identifiers import IDENTIFIERS
from thumbwheel_plugins.redact.secrets import PATTERNS

# None of these is a secret of anybody; put together here, so that scanners of code see that too.
LETTERS = "aB3" * 40
HEX = "0123456789abcdef" * 4

SECRETS = [
    ("AGE_KEY", "AGE-SECRET-KEY-1" + "Q7" * 29),
    ("ANTHROPIC_KEY", "sk-ant-" + "api03-" + LETTERS[:60]),
    ("AWS_KEY", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("DATABRICKS_TOKEN", "dapi" + HEX[:32]),
    ("DIGITALOCEAN_TOKEN", "dop_v1_" + HEX),
    ("DISCORD_TOKEN", "MT" + LETTERS[:24] + "." + LETTERS[:6] + "." + LETTERS[:30]),
    ("GITHUB_TOKEN", "ghp_" + LETTERS[:36]),
    ("GITHUB_TOKEN", "github_pat_" + LETTERS[:22] + "_" + LETTERS[:59]),
    ("GITLAB_TOKEN", "glpat-" + LETTERS[:20]),
    ("GOOGLE_KEY", "AIza" + LETTERS[:35]),
    ("GOOGLE_KEY", "GOCSPX-" + LETTERS[:28]),
    ("GOOGLE_KEY", "ya29." + LETTERS[:60]),
    ("GROQ_KEY", "gsk_" + LETTERS[:52]),
    ("HUGGING_FACE_TOKEN", "hf_" + LETTERS[:34]),
    ("JSON_WEB_TOKEN", "eyJ" + LETTERS[:20] + ".eyJ" + LETTERS[:40] + "." + LETTERS[:43]),
    ("LANGFUSE_KEY", "sk-lf-" + "01234567-89ab-cdef-0123-456789abcdef"),
    ("MAILCHIMP_KEY", HEX[:32] + "-us12"),
    ("MAILGUN_KEY", "key-" + HEX[:32]),
    ("NPM_TOKEN", "npm_" + LETTERS[:36]),
    ("OPENAI_KEY", "sk-" + LETTERS[:48]),
    ("OPENAI_KEY", "sk-proj-" + LETTERS[:40] + "_" + LETTERS[:40]),
    ("OPENROUTER_KEY", "sk-or-v1-" + HEX),
    ("PERPLEXITY_KEY", "pplx-" + LETTERS[:48]),
    ("PYPI_TOKEN", "pypi-" + "AgEIcHlwaS5vcmc" + LETTERS[:80]),
    ("REPLICATE_TOKEN", "r8_" + LETTERS[:37]),
    ("SENDGRID_KEY", "SG." + LETTERS[:22] + "." + LETTERS[:43]),
    ("SHOPIFY_TOKEN", "shpat_" + HEX[:32]),
    ("SLACK_TOKEN", "xoxb-" + "123456789012-" + LETTERS[:24]),
    ("SLACK_WEBHOOK", "https://hooks.slack.com/" + "services/T000/B000/" + LETTERS[:24]),
    ("STRIPE_KEY", "sk_live_" + LETTERS[:24]),
    ("STRIPE_KEY", "whsec_" + LETTERS[:32]),
    ("TELEGRAM_TOKEN", "12345678:AA" + LETTERS[:33]),
    ("TWILIO_KEY", "SK" + HEX[:32]),
    ("VAULT_TOKEN", "hvs." + LETTERS[:24]),
    ("XAI_KEY", "xai-" + LETTERS[:80]),
]
PERSONAL = [
    ("CREDIT_CARD", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "378282246310005"),
    ("CRYPTO", "3FZbgi29cpjq2GjdwV8eyHuJJnkLtktZc5"),
    ("EMAIL_ADDRESS", "ada.lovelace+news@example.co.uk"),
    ("EMAIL_ADDRESS", "info@müller.de"),
    ("EMAIL_ADDRESS", "o'brien@example.com"),
    ("IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
    ("IP_ADDRESS", "8.8.8.8"),
    ("IP_ADDRESS", "2001:4860:4860::8888"),
    ("MAC_ADDRESS", "00:1A:2B:3C:4D:5E"),
    ("PHONE_NUMBER", "+49 30 1234567"),
    ("PHONE_NUMBER", "+1 (212) 555-0123"),
    ("PHONE_NUMBER", "+44 (0)20 7946 0958"),
    ("PHONE_NUMBER", "(212) 555-0123"),
    ("PHONE_NUMBER", "212-555-0123"),
    ("PHONE_NUMBER", "030 / 1234567"),
    ("PHONE_NUMBER", "06.12.34.56.78"),
    ("PHONE_NUMBER", "(11) 96123-4567"),
    ("US_SSN", "536-90-4399"),
]

CLEAN = """
The total is $1,234.56 (1 692 896 in 2024), up 3.14159% on 01.02.2024 14:30 and 05/03/24.
2024-01-05T12:30:00+02:00; 12:30:45; 1700000000 and 1700000000000 are timestamps.
Orders 2730679860, 0.123456789, 65000-72000, ISBN 978-3-16-148410-0, call 123-456-7890.
550e8400-e29b-41d4-a716-446655440000 at f30bf21, sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b
>>> A = B @ x.T; foo@bar.baz; @app.route("/users/<id>") <B>bold</B> List<String> x;
host = "127.0.0.1:8080"; gateway = "192.168.0.1"; v = "1.2.3"; lo = "::1"; std::vector<int>
git clone https://github.com/org/repo.git && ssh-keygen -t ed25519; task-0123; sk-circle-fade
curl -H "Authorization: Bearer $TOKEN" https://user@localhost/a?b=c#d-2023
logger.info(os.environ.get("API_KEY")); password = getpass(); "-----BEGIN CERTIFICATE-----"
| 12 | 345 | 6789 | 0.5 |\n[[1, 2, 3], [40, 50, 60]]  10/10 8-9 3x4 #123456 1e-10
Call 911 or 112, gate B12, room 0815, 50+ people, +100%, 24/7, 4 x 4, 007.
""".strip().splitlines()


def redact(text, **options):
    return Redact(**options).redact_text(text)


@pytest.mark.parametrize(("kind", "secret"), SECRETS + PERSONAL)
def test_each_kind_is_replaced(kind, secret):
    """In a sentence, in quotes, behind an escaped line break and among Chinese letters."""
    assert redact(f"Take {secret}, please.") == f"Take <{kind}>, please."
    assert redact(f'{{"k": "\\n{secret}"') == f'{{"k": "\\n<{kind}>"'
    assert redact(f"号{secret}谢谢") == f"号<{kind}>谢谢"


def test_every_secret_has_a_sample():
    """The list above leaves no kind of the table out; the rest have tests of their own."""
    own = {"AZURE_KEY", "BEARER_TOKEN", "PASSWORD", "PRIVATE_KEY"}
    assert {kind for kind, _ in PATTERNS} - own == {kind for kind, _ in SECRETS}


def test_private_keys_go_as_blocks():
    """A whole block is one placeholder, one that was cut takes its lines along, prose stays."""
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join([LETTERS[:64]] * 9)
    assert redact(f"a {key}\n-----END RSA PRIVATE KEY----- b") == "a <PRIVATE_KEY> b"
    assert redact(f"a {key}\nand so on - or not") == "a <PRIVATE_KEY>\nand so on - or not"
    encrypted = key.replace("-----\n", "-----\nDEK-Info: AES-128-CBC,00\n\n")
    assert redact(f"{encrypted}\n-----END RSA PRIVATE KEY-----") == "<PRIVATE_KEY>"
    assert redact("It begins with -----BEGIN PRIVATE KEY----- and a line break.") == (
        "It begins with <PRIVATE_KEY> and a line break."
    )


def test_secrets_known_by_what_stands_before_them_go_alone():
    """Who and where stay readable, unless password and host together look like an address."""
    assert redact("redis://app:s3cr3t@localhost:6379") == "redis://app:<PASSWORD>@localhost:6379"
    assert redact("redis+tls://:p4$$@localhost") == "redis+tls://:<PASSWORD>@localhost"
    assert redact("db://app:s3cr3t@db.example.com/x") == "db://app:<PASSWORD>/x"
    assert redact(f"AccountKey={LETTERS[:86]}==;x") == "AccountKey=<AZURE_KEY>;x"
    assert redact(f"authorization: Bearer {LETTERS[:30]}") == "authorization: Bearer <BEARER_TOKEN>"
    assert (
        redact(f'aws_secret_access_key = "{LETTERS[:40]}"') == 'aws_secret_access_key = "<AWS_KEY>"'
    )
    assert redact("Authorization: Basic dXNlcjpwYXNz") == "Authorization: Basic <PASSWORD>"


@pytest.mark.parametrize("text", CLEAN)
def test_ordinary_answers_stay(text):
    """Numbers, dates, prices, hashes, code and addresses of nobody are left alone."""
    assert redact(text) == text


def test_what_touches_an_address_or_a_number_does_not_hide_it():
    """A sentence that begins right behind an address; two numbers in a row; other digits."""
    assert redact("Ask a@example.com.Then wait") == "Ask <EMAIL_ADDRESS>.Then wait"
    assert redact("'a@example.com-'") == "'<EMAIL_ADDRESS>-'"
    assert redact("06.12.34.56.78 06.12.34.56.79") == "<PHONE_NUMBER> <PHONE_NUMBER>"
    assert redact("+1 212 555 0123 42 items") == "<PHONE_NUMBER> 42 items"
    assert (
        redact("٤١١١ ١١١١ ١١١١ ١١١١, +49\u00a030\u20111234567") == "<CREDIT_CARD>, <PHONE_NUMBER>"
    )
    assert redact("4111 1111 1111 1112") == "4111 1111 1111 1112", "its checksum is wrong"


def test_entities_secrets_and_min_score():
    """Only what is asked for is replaced, and only with the confidence asked for."""
    text = f"a@example.com 8.8.8.8 {dict(SECRETS)['AWS_KEY']}"
    assert redact(text, entities=["IP_ADDRESS"]).count("<") == 2
    assert redact(text, entities=[], secrets=False) == text
    assert redact(text, secrets=False, min_score=0.9) == text.replace(
        "a@example.com", "<EMAIL_ADDRESS>"
    )
    assert redact("no. 536904399") == "no. 536904399"
    assert redact("no. 536904399", min_score=0.05) == "no. <US_SSN>"


WORDS = st.text(st.characters(exclude_categories=["Nd", "Cs"], exclude_characters="<>"), max_size=9)


@given(before=WORDS, sample=st.sampled_from(SECRETS + PERSONAL), after=WORDS)
@settings(max_examples=200)
def test_a_planted_secret_never_survives(before, sample, after):
    """Whatever words stand around it."""
    assert sample[1] not in redact(f"{before} {sample[1]} {after}")


PIECES = [sample for _, sample in SECRETS + PERSONAL] + [
    *(
        "<",
        ">",
        "<EMAIL_ADDRESS>",
        "<B>",
        " ",
        "\n",
        "-",
        ".",
        "@",
        "0",
        "+",
        "a",
        "謝",
        "://",
        ":",
    ),
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=200)
def test_redacting_twice_changes_nothing(text):
    """What was redacted once is clean, however the finds touched each other."""
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize("kind", IDENTIFIERS)
def test_hints_hide_nothing(kind):
    """Presidio is only asked about texts with a hint: all that its patterns match has one."""
    from presidio_analyzer import predefined_recognizers

    identifier = IDENTIFIERS[kind]
    recognizer = getattr(predefined_recognizers, identifier.recognizer)()
    patterns = [pattern.regex for pattern in recognizer.patterns]
    ascii_text = st.characters(codec="ascii")

    @given(st.one_of([st.from_regex(regex, alphabet=ascii_text) for regex in patterns]))
    @settings(max_examples=50)
    def check(text):
        if recognizer.analyze(text, [kind]):
            assert identifier.hint.search(text)

    check()


def test_long_texts_are_read_to_the_end():
    """A card number is found wherever it stands in a text that is looked at in windows."""
    for offset in [*range(4050, 4400, 11), 8190, 20_000]:
        text = "x " * (offset // 2) + "4111 1111 1111 1111" + " y" * 10_000
        assert redact(text) == text.replace("4111 1111 1111 1111", "<CREDIT_CARD>"), offset


@pytest.mark.parametrize(
    "unit",
    ["a.", "a@", "eyJ", "sk-a", "1.", "+1 ", "09 99 ", "-----BEGIN PRIVATE KEY-----", "a'", "::f:"],
)
def test_hostile_texts_take_linear_time(unit):
    """Patterns that try again from every character would take hours for these."""
    assert redact(unit * (30_000 // len(unit)))


def test_keys_without_end_are_replaced_as_a_whole():
    """Thousands of keys in a row are found a few at a time, and what is left then goes at once."""
    keys = [dict(SECRETS)[kind] * 300 for kind in ("NPM_TOKEN", "SENDGRID_KEY")]
    assert [redact(key).count("<") for key in keys] == [8, 8]
    assert not any(LETTERS[:9] in redact(key) for key in keys)


def test_strange_characters():
    """NUL, half of a surrogate pair and bytes that are no UTF-8 hide nothing and break nothing."""
    assert redact("\0a@example.com\0\ud800") == "\0<EMAIL_ADDRESS>\0\ud800"
    assert redact(b"\xff a@example.com \xfe") == b"\xff <EMAIL_ADDRESS> \xfe"


def test_json_stays_json():
    """Texts, keys and whole numbers are redacted; keys that become the same keep their values."""
    record = b'{"to": {"a@example.com": 1, "b@example.com": 2}, "n": [4111111111111111, true, 5]}'
    assert redact(record) == (
        b'{"n":["<CREDIT_CARD>",true,5],"to":{"<EMAIL_ADDRESS>":1,"<EMAIL_ADDRESS> 2":2}}'
    )
    assert redact('{"half": "\\ud800", "to": "a\\u0040example.com"}') == (
        '{"half":"\\ud800","to":"<EMAIL_ADDRESS>"}'
    )
    assert redact(b'{ "a": 1.50 }') == b'{ "a": 1.50 }'
    assert redact(b'{"to": "a@example.com"') == b'{"to": "<EMAIL_ADDRESS>"'
    assert redact("[" * 5000 + "a@example.com") == "[" * 5000 + "<EMAIL_ADDRESS>"


@pytest.fixture
def model(tmp_path):
    """A spaCy pipeline that knows two names."""
    import spacy
    from spacy.pipeline import EntityRuler

    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")
    assert isinstance(ruler, EntityRuler)
    labels = {"Ada Lovelace": "PERSON", "London": "GPE", "Monday": "DATE"}
    ruler.add_patterns([{"label": label, "pattern": text} for text, label in labels.items()])
    pipeline.to_disk(tmp_path / "model")
    return str(tmp_path / "model")


def test_names_need_a_model(model):
    """With one, persons and places are found, or only those asked for; dates are no names."""
    text = "Ada Lovelace, London, Monday, \ud800 a@example.com"
    assert redact(text) == text.replace("a@example.com", "<EMAIL_ADDRESS>")
    redacted = "<PERSON>, <LOCATION>, Monday, \ud800 <EMAIL_ADDRESS>"
    assert redact(text, model=model) == redacted
    assert redact(redacted, model=model) == redacted
    assert redact("Ada Lovelace, London", model=model, entities=["PERSON"]) == "<PERSON>, London"


def test_mistakes_in_the_options(tmp_path, monkeypatch):
    """Each is one line that says what to do, before anything is read."""
    with pytest.raises(PluginError, match=r"PERSON needs a spaCy model; name one as `model`"):
        Redact(entities=("EMAIL_ADDRESS", "PERSON"))
    with pytest.raises(
        PluginError, match=r"'en_core_web_none' is not installed; .* spacy download"
    ):
        Redact(model="en_core_web_none")
    with pytest.raises(ValidationError, match="min_score"):
        Redact(min_score=2)
    with pytest.raises(
        PluginError, match=r"'redact': `entities.0`: input should be .*'EMAIL_ADDRESS'"
    ):
        PluginManager([PluginConfig(use="redact", options={"entities": ["EMAIL"]})], tmp_path)
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(PluginError, match=r'\'redact\' needs .*pip install "thumbwheel\[redact\]"'):
        PluginManager([PluginConfig(use="redact")], tmp_path)


def test_what_could_not_be_searched_is_an_error(monkeypatch, caplog):
    """Presidio skips a pattern that takes too long and logs that; nothing is let through here."""
    redact("8.8.8.8")
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 1e-9)
    with pytest.raises(PluginError, match="could not search a text"):
        redact("8.8.8.8 " * 500)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_nothing_is_fetched(monkeypatch):
    """The list of domains is the one that is installed."""

    def refuse(*args, **kwargs):
        raise AssertionError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    _suffixes.cache_clear()
    assert redact("a@some-new-name.example.com") == "<EMAIL_ADDRESS>"


@pytest.mark.slow
def test_importing_it_is_cheap():
    """What finds is imported when there is something to find."""
    code = (
        "import sys, thumbwheel_plugins.redact as r; r.Redact().redact_text('12 apples @ home');"
        "print({'presidio_analyzer', 'spacy', 'phonenumbers', 'tldextract'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
