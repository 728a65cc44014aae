"""Whether the votes of a source can be what its raters said: a scale misread shows in their sides.

Nothing is known but what is stored, so these are warnings, each with what would mend it.
"""

from collections.abc import Sequence

from thumbwheel.config import SourceConfig
from thumbwheel.store.connection import Connection
from thumbwheel.store.values import VoteSides

__all__ = ["side_warnings", "vote_sides"]

_FEW = 20
"""One-sided votes are reported from so many on: three thumbs up are nothing to wonder at."""


_SIDES = """
SELECT source, count(*) AS votes,
       count(*) FILTER (score > 0) AS up, count(*) FILTER (score < 0) AS down,
       bool_and(score IN (0, 1)) AS only_0_1
FROM events WHERE is_vote AND score IS NOT NULL GROUP BY source ORDER BY source
"""


def vote_sides(connection: Connection) -> list[VoteSides]:
    """Return the sides of every source's votes, withdrawn ones left out.

    Args:
        connection: In a transaction.
    """
    return [VoteSides(*row) for row in connection.execute(_SIDES).fetchall()]


def side_warnings(sources: Sequence[SourceConfig], sides: Sequence[VoteSides]) -> list[str]:
    """Return what is to be looked at, a line each, with the configuration that mends it.

    Args:
        sources: As configured now.
        sides: What the store gave; sources that are not configured any more are left out.
    """
    configured = {source.name: source for source in sources}
    warnings = []
    for found in sides:
        if found.source not in configured:
            continue
        mapping = configured[found.source].mapping
        options = mapping if isinstance(mapping, dict) else {}
        name = mapping if isinstance(mapping, str) else options.get("use", "keys")
        if mapping is None:
            name = "events"
        if found.only_0_1 and found.up < found.votes:
            mend = (
                "scale = { down = 0, up = 1 }"
                if "scale" in options
                else f'mapping = {{ use = "{name}", up = [1], down = [0] }}'
            )
            warnings.append(
                f"{found.source}: all {found.votes:,} votes are 0 or 1, so none is down. If 0 is "
                f"a thumbs down, set {mend} and run `thumbwheel rebuild`"
            )
        elif found.votes >= _FEW and not (found.up and found.down):
            side, other = ("up", "down") if found.up else ("down", "up")
            if not found.up and not found.down:
                side, other = "neutral", "up` and `down"
            mend = "mend the ends of `scale`" if "scale" in options else f"list them in `{other}`"
            warnings.append(
                f"{found.source}: all {found.votes:,} votes are {side}. If there are others, "
                f"{mend}, and run `thumbwheel rebuild`; if users can say nothing else, no pair "
                "comes of these alone"
            )
    return warnings
