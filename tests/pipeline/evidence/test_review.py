"""The evidence: what the card and the page say, and that no text in them becomes markup."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from cycle_reports import data_report, training_report
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from thumbwheel.evidence.review import evidence_card, evidence_page
from thumbwheel.types import (
    CycleReport,
    DatasetManifest,
    Decision,
    Estimate,
    EvalReport,
    MetricReport,
    PluginInfo,
    Prompt,
    Regression,
    RuleResult,
    Sample,
)

HOSTILE = (
    "<script>alert(1)</script> | **bold** _it_ `code` ~~no~~ [link](http://evil.example) "
    "![image](x.png) @someone :smile: https://evil.example www.evil.example &amp; \\| $x$ a_b # h"
)
ANY_TEXT = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=60)


def a_report(*, rules: tuple[RuleResult, ...] = (), champion: str | None = "3") -> CycleReport:
    rules = rules or (RuleResult("at least 50 held-out prompts", True, "60 prompts: enough"),)
    unknown = Estimate(float("nan"), float("nan"), 1.0, 60)
    metrics = {
        "preference_accuracy": MetricReport(
            "preference_accuracy",
            champion=Estimate(0.61, 0.55, 0.67, 60),
            candidate=Estimate(0.83, 0.78, 0.88, 60),
            difference=Estimate(0.22, 0.16, 0.28, 60),
            base=Estimate(0.5, 0.45, 0.55, 60) if champion else None,
        ),
        "broken": MetricReport("broken", unknown, unknown, unknown),
    }
    return CycleReport(
        cycle_id="4f2a91c07be3",
        project="polite-helper",
        started_at="2026-01-02T03:04:05+00:00",
        outcome="promoted" if all(rule.passed for rule in rules) else "refused",
        champion_before=champion,
        model_version=None,
        data=data_report("snapshot-digest", votes=700, parked=12),
        dataset=DatasetManifest(
            digest="dataset-digest",
            n_pairs=744,
            n_train=596,
            n_train_prompts=240,
            n_eval=148,
            n_eval_prompts=60,
            plugins=[PluginInfo("best_worst", "thumbwheel", "0.1.0", ["make_pairs"], {"gap": 2})],
        ),
        training=training_report(steps=120),
        evaluation=EvalReport(champion or "base", 0.95, 60, 148, metrics),
        decision=Decision(all(rule.passed for rule in rules), rules),
    )


class Reader(HTMLParser):
    """Collects the tags, the addresses and the text of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str | None] = []
        self.texts: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("href", "src", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def render(card: str) -> Reader:
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return Reader(markdown.render(card))


def test_the_card_begins_with_the_verdict_in_plain_words() -> None:
    """The first line is the sentence that lists of versions show."""
    first = evidence_card(a_report()).splitlines()[0]
    assert first == "Passed: 1 of 1 rules hold, so this adapter may replace version 3."


@pytest.mark.parametrize("champion", [None, "3"])
def test_a_refusal_names_its_first_reason(champion: str | None) -> None:
    """Whoever reads only the first line knows why nothing was promoted, and what stays."""
    rules = (
        RuleResult("one", True, "fine"),
        RuleResult("two", False, "it touches zero"),
        RuleResult("three", False, "too long"),
    )
    first = evidence_card(a_report(rules=rules, champion=champion)).splitlines()[0]
    stays = f"version {champion}" if champion else "the base model"
    assert first == (
        f"Refused: 2 of 3 rules do not hold, so {stays} stays. The first: it touches zero."
    )


def test_the_card_holds_numbers_rules_and_origin() -> None:
    """Metrics with intervals, every rule, and where the candidate comes from."""
    text = " ".join("".join(render(evidence_card(a_report())).texts).split())
    for expected in (
        "+0.220 (+0.160 to +0.280)",
        "not a number",
        "60 prompts: enough",
        "dataset: dataset-digest",
        "596 to train on, 148 held out",
        "best_worst 0.1.0",
    ):
        assert expected in text


def test_hostile_text_stays_text_in_the_card() -> None:
    """Links, images, scripts, emphasis and table signs in a reason are shown, not obeyed."""
    plain = render(evidence_card(a_report()))
    card = render(evidence_card(a_report(rules=(RuleResult(HOSTILE, True, HOSTILE),))))
    assert card.tags == plain.tags
    assert card.addresses == []
    assert "".join(card.texts).count(HOSTILE) == 2


@given(ANY_TEXT)
def test_any_text_reads_in_the_card_as_it_was_written(text: str) -> None:
    """For any text: the rendered cell holds it, with white space joined, and no other tags."""
    plain = render(evidence_card(a_report()))
    card = render(evidence_card(a_report(rules=(RuleResult("rule", True, f"<{text}>"),))))
    assert card.tags == plain.tags
    assert " ".join(f"<{text}>".split()) in "".join(card.texts)


def test_the_page_shows_what_a_reviewer_needs() -> None:
    """Verdict, rules, metrics with bars, answers side by side, regressions and lineage."""
    prompt: Prompt = [{"role": "user", "content": "How do I boil an egg?"}]
    page = evidence_page(
        a_report(),
        [Sample(prompt, "dunno", "With pleasure: eight minutes.")],
        [Regression(prompt, "Eight minutes.", "No.", 0.5, -0.25)],
    )
    reader = Reader(page)
    text = " ".join("".join(reader.texts).split())
    for expected in (
        "Passed: 1 of 1 rules hold",
        "How do I boil an egg?",
        "With pleasure: eight minutes.",
        "margin: champion +0.500, candidate -0.250",
        "dataset › plugins › 1 › options › gap",
        "0.500",
    ):
        assert expected in text
    assert reader.tags.count("svg") == 1, "a bar for the metric, none for the NaN"


def test_the_page_shows_tool_calls() -> None:
    """A call is a line of its own under who made it, and markup in it stays text."""
    call = {"function": {"name": "<b>sky</b>", "arguments": {"at": HOSTILE}}}
    extra = json.dumps({"tool_calls": [call], "name": "<i>Ann</i>"})
    prompt: Prompt = [{"role": "assistant", "content": "", "extra": extra}]
    page = evidence_page(a_report(), [Sample(prompt, "a", "b")])
    reader = Reader(page)
    assert (
        "→ <b>sky</b>(" + json.dumps({"at": HOSTILE}, separators=(",", ":")) + ")" in reader.texts
    )
    assert "assistant <i>Ann</i>" in reader.texts
    assert not {"b", "i", "script", "a"} & set(reader.tags)


def test_the_page_loads_and_runs_nothing() -> None:
    """No script, no address to fetch, and a policy that forbids both."""
    prompt: Prompt = [{"role": "user", "content": HOSTILE}]
    rules = (RuleResult(HOSTILE, False, HOSTILE),)
    report = replace(
        a_report(rules=rules),
        project=HOSTILE,
        dataset=replace(a_report().dataset, config={HOSTILE: HOSTILE}),
    )
    page = evidence_page(report, [Sample(prompt, HOSTILE, HOSTILE)])
    reader = Reader(page)
    assert reader.addresses == []
    assert not {"script", "iframe", "object", "img", "link", "a"} & set(reader.tags)
    assert "default-src 'none'" in page
    assert sum(HOSTILE in text for text in reader.texts) >= 6


def test_without_a_champion_there_is_no_column_for_the_base() -> None:
    """When the base is the champion, it is shown once."""
    assert "Base" in Reader(evidence_page(a_report(), [])).texts
    assert "Base" not in Reader(evidence_page(a_report(champion=None), [])).texts
