"""The audit: it finds what is planted, agrees with definitions, and its page is safe to open."""

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser
from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.cli.options import make_console
from thumbwheel.cli.show.audit import print_audit
from thumbwheel.config import AuditConfig
from thumbwheel.errors import ConfigError
from thumbwheel.evidence.audit import RatedAnswers, audit_page, audit_pairs
from thumbwheel.evidence.audit.agreement import krippendorff_alpha, measure_agreement
from thumbwheel.evidence.audit.page import verdict
from thumbwheel.evidence.audit.report import WrongPairs
from thumbwheel.measures.language import other_language, sentiment
from thumbwheel.measures.style import difference
from thumbwheel.pairs.balance import balance_probabilities
from thumbwheel.tables import PAIRS, VOTES
from thumbwheel.tables import RATED as RATED_SCHEMA
from thumbwheel.types import Estimate

WORDS = ("tea", "milk", "sugar", "river", "stone", "cloud", "window", "garden", "paper", "letter")


def pairs_of(rows):
    """Return `tables.PAIRS` of (prompt number, chosen, rejected)."""
    return pa.Table.from_pylist(
        [
            {
                "pair_id": f"pair{i}",
                "prompt_id": f"prompt{prompt}",
                "chosen_id": f"chosen{i}",
                "rejected_id": f"rejected{i}",
                "confidence": 0.9,
                "plugin": "all_pairs",
                "origin": "votes",
                "prompt": [{"role": "user", "content": "What is in the garden?", "extra": None}],
                "chosen": chosen,
                "rejected": rejected,
            }
            for i, (prompt, chosen, rejected) in enumerate(rows)
        ],
        schema=PAIRS,
    )


def confounded(longer, n=600, seed=0):
    """Pairs whose chosen side is the longer one with this probability; nothing else differs."""
    rng = np.random.default_rng(seed)

    def text(words):
        return " ".join(rng.choice(WORDS, words))

    rows = []
    for i in range(n):
        short = int(rng.integers(5, 30))
        sides = text(short), text(round(short * rng.uniform(1.2, 2)))
        rows.append((i // 3, *(sides[::-1] if rng.random() < longer else sides)))
    return pairs_of(rows)


def votes_of(*rows):
    names = ["completion_id", "rater", "score", "comparison_id"]
    values = [dict(zip(names, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(
        [{"weight": 1.0, "event_id": str(i), **row} for i, row in enumerate(values)], schema=VOTES
    )


RATED = RATED_SCHEMA.empty_table()
NO_VOTES = VOTES.empty_table()


def audited(before, after, rated=RATED, votes=NO_VOTES, **config):
    answers = RatedAnswers(RATED, RATED["prompt_id"].unique())
    return audit_pairs(before, after, rated, answers, votes, AuditConfig(**config), seed=0)


# --- confounds -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    """An audit of a 70% length confound, before and after balancing it away."""
    before = confounded(0.7)
    balance = balance_probabilities(difference(before["chosen"], before["rejected"]))
    kept = np.random.default_rng(0).random(len(before)) < balance.probabilities
    return audited(before, before.filter(pa.array(kept)), max_auc=0.6)


def test_a_planted_length_confound_is_found_and_gone_when_balanced(planted):
    """Longer answers chosen in 70%: the AUC of style says so; after balancing it is chance."""
    before, after = planted.before, planted.after
    assert before.style_auc.value > 0.65
    assert before.style_auc.low > 0.6
    assert before.length.longer_chosen == pytest.approx(0.7, abs=0.04)
    assert before.length.mean_log_ratio > 0.1
    assert after.n_pairs > 300
    assert after.style_auc.value < 0.55
    assert after.style_auc.low < 0.5
    assert after.length.longer_chosen == pytest.approx(0.5, abs=0.06)
    assert abs(after.length.mean_log_ratio) < 0.04
    assert sum(after.length.histogram) == after.n_pairs
    assert planted.passed


def test_the_feature_that_carries_the_confound_is_named(planted):
    """Of all features only length is far from 0.5, and before balancing only."""
    far = {
        side: [f.name for f in audit.features if abs(f.auc - 0.5) > 0.1]
        for side, audit in (("before", planted.before), ("after", planted.after))
    }
    assert far == {"before": ["length"], "after": []}


def test_pairs_without_a_confound_are_at_chance():
    """Where either side is the longer one equally often, nothing is found."""
    clean = audited(PAIRS.empty_table(), confounded(0.5))
    assert clean.after.style_auc.low < 0.5 < clean.after.style_auc.high
    assert clean.findings == []


def test_an_intended_feature_is_shown_and_not_held_against_the_pairs():
    """With `intended = ["length"]` the classifier does not see length; the table still shows it."""
    pairs = confounded(0.9)
    nothing = pairs.slice(0, 0)
    report = audited(nothing, pairs, intended=["length"], max_auc=0.6)
    assert report.passed
    assert report.after.style_auc.value < 0.6
    length = report.after.features[0]
    assert (length.name, length.intended) == ("length", True)
    assert length.auc > 0.8
    assert not audited(nothing, pairs, max_auc=0.6).passed


def test_an_unknown_feature_is_named_with_those_there_are():
    """A misspelt feature in `intended` is an error that lists the features."""
    with pytest.raises(ConfigError, match=r"'lenght'; there are length, lists, .*sentiment$"):
        audited(confounded(0.5, 3), confounded(0.5, 3), intended=["lenght"])


def test_too_few_prompts_are_no_evidence():
    """No pairs, or those of 49 prompts: no AUC, words that say so, and no limit on it holds."""
    few = confounded(0.7, 147)
    for after in (few.slice(0, 0), few):
        report = audited(few, after, max_auc=0.6)
        assert report.after.wrong.share is None
        assert report.after.style_auc is None
        assert [(limit.value, limit.passed) for limit in report.limits] == [(None, False)]
        page = audit_page(report, "p")
        assert "<svg" in page
        assert 'class="verdict bad"' in page
    assert "too few prompts to tell whether style" in verdict(report)
    assert "49, and it takes 50" in verdict(report)
    assert audited(few, confounded(0.7, 150)).after.style_auc is not None


def test_matching_does_not_clear_what_followed_length(planted, capsys):
    """Votes that follow length are named after matching too: an AUC of chance clears nothing."""
    assert "the votes follow length" in verdict(planted)
    (found,) = (each for each in planted.findings if each.what.startswith("Votes follow length"))
    assert "cannot see what takes its place" in found.advice
    few_wrong = WrongPairs(Estimate(0.1, 0.05, 0.15, 200), 400)
    known = replace(planted, after=replace(planted.after, wrong=few_wrong))
    assert 'class="verdict bad"' in audit_page(known, "p")
    assert 'class="verdict good"' in audit_page(replace(known, before=known.after), "p")
    assert "10% of the pairs are the wrong way round (5% to 15%)" in verdict(known)
    print_audit(make_console(), planted)
    assert "more filler" in " ".join(capsys.readouterr().out.split())
    meant = audited(confounded(0.7), confounded(0.5, seed=1), intended=["length"])
    assert "follow" not in verdict(meant)


def test_the_same_pairs_get_the_same_audit(planted):
    """Sample, folds and resampling follow from the seed."""
    again = audited(PAIRS.empty_table(), confounded(0.7))
    assert again.after == planted.before


def test_language_and_mood_of_answers():
    """German to an English question is another language; praise is warmer than blame."""
    question = "Can you tell me what the weather will be like tomorrow?"
    answers = [
        "It will rain in the morning, and the sun comes out in the afternoon.",
        "Am Morgen wird es regnen, und am Nachmittag kommt die Sonne heraus.",
        "Ja.",
    ]
    assert other_language(answers, [question] * 3).tolist() == [0, 1, 0]
    warm, cold, none = sentiment(["What a great idea, I love it!", "This is terrible.", ""])
    assert warm > 0.5 > -0.3 > cold
    assert none == 0


# --- what the pairs are made of ------------------------------------------------------------------


def test_raters_models_and_near_duplicates_are_counted():
    """Shares of raters, who wrote which side, and prompts in clusters of several."""
    pairs = pairs_of([(0, "a b", "c d"), (1, "a b", "c d"), (2, "a b", "c d"), (3, "a b", "c d")])
    clusters = pa.array(["one", "one", "two", "three"])
    rated = pa.table(
        {
            "completion_id": [f"{side}{i}" for i in range(4) for side in ("chosen", "rejected")],
            "model_version": ["new", "old"] * 3 + [None, None],
        }
    )
    votes = votes_of(
        *[(f"chosen{i}", "rater:busy", 1.0, None) for i in range(3)],
        ("rejected3", "event:7", -1.0, None),
    )
    after = pairs.append_column("cluster_id", clusters)
    report = audited(pairs, after, rated, votes, max_rater_share=0.5, max_near_duplicates=0.5)
    shown = report.after
    assert [(r.rater, r.share) for r in shown.raters] == [("rater:busy", 0.75)]
    assert (shown.n_raters, shown.unnamed) == (1, 0.25), "a vote without a rater is none"
    assert [(m.version, m.chosen, m.rejected) for m in shown.models] == [
        ("new", 0.75, 0),
        ("old", 0, 0.75),
        (None, 0.25, 0.25),
    ]
    assert shown.same_model == 0
    assert (report.before.near_duplicates, shown.near_duplicates) == (None, 0.5)
    assert [(limit.name, limit.value, limit.passed) for limit in report.limits] == [
        ("max_rater_share", 0.75, False),
        ("max_near_duplicates", 0.5, True),
    ]
    found = " ".join(finding.what for finding in report.findings)
    assert "One rater stands behind 75%" in found
    assert "model version new wrote 75% of the chosen answers and 0% of the rejected" in found


# --- agreement -----------------------------------------------------------------------------------

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: 4 observers, 12 units.
OBSERVERS = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]


def coded(observers):
    units, values = zip(
        *[(u, float(v)) for line in observers for u, v in enumerate(line) if v != "."], strict=True
    )
    return np.array(units), np.array(values)


def test_alpha_is_that_of_the_worked_example():
    """The published example has an interval alpha of 0.849."""
    assert krippendorff_alpha(*coded(OBSERVERS)) == pytest.approx(0.849, abs=5e-4)


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([-1.0, 0.5, 1.0])), min_size=0, max_size=40
    )
)
def test_alpha_is_what_its_definition_says(judged):
    """Closed sums equal the definition, disagreements of all twos within units and overall."""
    unit = np.array([u for u, _ in judged], dtype=np.int64)
    value = np.array([v for _, v in judged])
    units = [value[unit == u] for u in range(7) if np.sum(unit == u) > 1]
    pooled = np.concatenate(units) if units else np.zeros(0)
    within = sum(
        sum((a - b) ** 2 for a, b in permutations(values, 2)) / (len(values) - 1)
        for values in units
    )
    overall = sum((a - b) ** 2 for a, b in permutations(pooled, 2))
    n = len(pooled)
    alpha = krippendorff_alpha(unit, value)
    if overall == 0:
        assert alpha is None
    else:
        expected = 1 - (within / n) / (overall / (n * (n - 1)))
        assert alpha == pytest.approx(expected, abs=1e-9)


def test_votes_and_choices_are_compared_each_among_themselves():
    """A vote inside a comparison is a choice between two answers, whichever the comparison's id."""
    alone = [
        (f"{side}{number}", rater, score, None)
        for number in range(25)
        for side, score in (("a", 1.0), ("b", -1.0))
        for rater in ("rater:x", "rater:y", "event:z")
    ]
    chosen = [
        (rater, *sides, f"{rater} {number}")
        for number in range(50)
        for rater in ("rater:x", "rater:y")
        for sides in [("c", "d") if rater == "rater:x" or number < 25 else ("d", "c")]
    ]
    sides = [
        (f"{answer}{comparison.split()[1]}", rater, score, comparison)
        for rater, better, worse, comparison in chosen
        for answer, score in ((worse, -1.0), (better, 1.0))
    ]
    votes = votes_of(*alone, *sides, ("e", "rater:x", 1.0, "one side only"))
    on_one, between = measure_agreement(votes)
    assert (on_one.what, on_one.n_units, on_one.alpha) == ("votes on one answer", 50, 1.0)
    assert on_one.n_judgements == 100, "a vote without a rater is none"
    assert (between.n_units, between.n_judgements) == (50, 100)
    assert between.alpha == pytest.approx(-0.32)  # half of them are contradicted
    assert measure_agreement(NO_VOTES) == []
    (few,) = measure_agreement(votes_of(*alone[:-3]))
    assert (few.n_units, few.alpha) == (49, None)


# --- the page ------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script> `code` {{ 7 * 7 }} [red]\x1b[31m"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href") or "url(" in value]


def test_what_users_wrote_never_becomes_markup(planted, capsys, monkeypatch):
    """A rater and a model version named like a script are shown as they are, on either."""
    monkeypatch.setenv("COLUMNS", "300")
    pairs = pairs_of([(0, "a", "b")])
    rated = pa.table({"completion_id": ["chosen0"], "model_version": [HOSTILE]})
    votes = votes_of(("chosen0", f"rater:{HOSTILE}", 1.0, None))
    report = audited(pairs, pairs, rated, votes)
    page = audit_page(report, HOSTILE)
    parser = Tags()
    parser.feed(page)
    assert "script" not in parser.tags
    assert parser.loads == []
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4  # title, heading, rater, model
    assert "{{ 7 * 7 }}" in page
    assert "default-src 'none'" in page
    print_audit(make_console(), report)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "<script>alert(1)</script> `code` {{ 7 * 7 }} [red]" in out


def test_page_and_terminal_say_the_same(planted, capsys):
    """Verdict, limits and the classifier's AUC stand in both; the report turns into JSON."""
    page = audit_page(planted, "tea")
    print_audit(make_console(), planted)
    out = capsys.readouterr().out
    auc = planted.before.style_auc
    assert f"{auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})" in page
    assert f"{auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})" in out
    assert "Style alone does not tell chosen from rejected" in page
    assert "Style alone does not tell chosen from rejected" in " ".join(out.split())
    assert "✓ max_auc" in out
    assert json.loads(json.dumps(asdict(planted)))["before"]["n_pairs"] == 600
