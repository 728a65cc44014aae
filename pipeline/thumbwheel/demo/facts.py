"""What the planted world asks: some 350 short questions, each with one right answer.

The answers of a category are the wrong answers to its other questions, so that a wrong completion
differs from a right one in nothing but the answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["FACTS", "FACT_BY_PROMPT", "Fact"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A prompt, its right answer, and the wrong ones it may be confused with."""

    prompt: str
    answer: str
    wrong: Sequence[str]

    def is_named_in(self, text: str) -> bool:
        """Return whether a text names the right answer, and none of the wrong ones."""
        words = f" {' '.join(''.join(c if c.isalnum() else ' ' for c in text).split())} "
        return f" {self.answer} " in words and not any(
            f" {wrong} " in words for wrong in self.wrong
        )


# One "question word:answer" after another; the key is the question.
_TABLES = {
    "What is the capital of {}?": """
        Argentina:Buenos-Aires Austria:Vienna Belgium:Brussels Bolivia:Sucre Bulgaria:Sofia
        Canada:Ottawa Chile:Santiago China:Beijing Colombia:Bogota Croatia:Zagreb Cuba:Havana
        Denmark:Copenhagen Ecuador:Quito Egypt:Cairo Estonia:Tallinn Ethiopia:Addis-Ababa
        Finland:Helsinki France:Paris Germany:Berlin Ghana:Accra Greece:Athens Hungary:Budapest
        Iceland:Reykjavik India:Delhi Indonesia:Jakarta Iran:Tehran Iraq:Baghdad Ireland:Dublin
        Italy:Rome Japan:Tokyo Jordan:Amman Kenya:Nairobi Latvia:Riga Lebanon:Beirut
        Lithuania:Vilnius Malta:Valletta Morocco:Rabat Nepal:Kathmandu Norway:Oslo Peru:Lima
        Poland:Warsaw Portugal:Lisbon Romania:Bucharest Russia:Moscow Senegal:Dakar Serbia:Belgrade
        Spain:Madrid Sweden:Stockholm Syria:Damascus Thailand:Bangkok Tunisia:Tunis Turkey:Ankara
        Uganda:Kampala Ukraine:Kyiv Uruguay:Montevideo Venezuela:Caracas Vietnam:Hanoi
        Zambia:Lusaka
    """,
    "What is the opposite of {}?": """
        alive:dead ancient:modern asleep:awake bitter:sweet black:white brave:cowardly bright:dim
        broad:narrow buy:sell clean:dirty clever:stupid cold:hot cruel:kind deep:shallow dry:wet
        early:late easy:difficult empty:full enter:leave expensive:cheap fast:slow fat:thin
        first:last forget:remember front:back generous:stingy guilty:innocent happy:sad hard:soft
        heavy:light high:low inside:outside large:small laugh:cry left:right long:short loud:quiet
        love:hate lose:win male:female near:far night:day noisy:silent north:south old:young
        open:closed polite:rude poor:rich push:pull raw:cooked rough:smooth safe:dangerous
        strong:weak tight:loose top:bottom true:false ugly:beautiful up:down war:peace
    """,
    "What colour is {}?": """
        snow:white coal:black blood:red grass:green chocolate:brown butter:yellow ash:grey
        lavender:purple salmon:pink carrot:orange cornflower:blue emerald:green ruby:red
        sapphire:blue milk:white tar:black broccoli:green aubergine:purple pumpkin:orange
        lemon:yellow concrete:grey bark:brown flamingo:pink ketchup:red spinach:green
    """,
    "What is a young {} called?": """
        dog:puppy cat:kitten cow:calf horse:foal sheep:lamb goat:kid hen:chick duck:duckling
        goose:gosling lion:cub deer:fawn frog:tadpole swan:cygnet eagle:eaglet owl:owlet
        kangaroo:joey pig:piglet hare:leveret eel:elver butterfly:caterpillar
    """,
    "What is the chemical symbol of {}?": """
        hydrogen:H helium:He lithium:Li carbon:C nitrogen:N oxygen:O fluorine:F neon:Ne sodium:Na
        magnesium:Mg aluminium:Al silicon:Si phosphorus:P sulphur:S chlorine:Cl argon:Ar potassium:K
        calcium:Ca titanium:Ti chromium:Cr iron:Fe cobalt:Co nickel:Ni copper:Cu zinc:Zn silver:Ag
        tin:Sn platinum:Pt gold:Au mercury:Hg lead:Pb uranium:U
    """,
    "On which continent is {}?": """
        Algeria:Africa Brazil:America Mongolia:Asia Slovenia:Europe Kenya:Africa Mexico:America
        Laos:Asia Norway:Europe Nigeria:Africa Peru:America Korea:Asia Albania:Europe Ghana:Africa
        Cuba:America Bhutan:Asia Spain:Europe Sudan:Africa Canada:America Japan:Asia Poland:Europe
        Zambia:Africa Panama:America Nepal:Asia Greece:Europe
    """,
}
# Each is followed by the next, and the last by the first.
_RINGS = {
    "month": """
        January February March April May June July August September October November December
    """,
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
}


def _categories() -> Iterator[list[tuple[str, str]]]:
    for question, table in _TABLES.items():
        rows = [row.split(":") for row in table.split()]
        yield [(question.format(of), answer.replace("-", " ")) for of, answer in rows]
    for what, ring in _RINGS.items():
        names = ring.split()
        around = [(names[i - 1], name, names[(i + 1) % len(names)]) for i, name in enumerate(names)]
        yield [
            row
            for before, name, after in around
            for row in (
                (f"Which {what} comes before {name}?", before),
                (f"Which {what} comes after {name}?", after),
            )
        ]
    yield [(f"What is {a} plus {b}?", str(a + b)) for a in range(2, 10) for b in range(2, 10)]


def _facts() -> Iterator[Fact]:
    for rows in _categories():
        answers = sorted({answer for _, answer in rows})
        for prompt, answer in rows:
            yield Fact(prompt, answer, [other for other in answers if other != answer])


FACTS: Sequence[Fact] = tuple(_facts())
FACT_BY_PROMPT: Mapping[str, Fact] = {fact.prompt: fact for fact in FACTS}
