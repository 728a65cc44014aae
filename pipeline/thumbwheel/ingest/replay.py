"""Dead letters tried again, after a mapping, a plugin or Thumbwheel itself was mended."""

from datetime import UTC, datetime

from thumbwheel.config import Config
from thumbwheel.errors import InputError
from thumbwheel.ingest.pipeline import parser_for, process, process_letters
from thumbwheel.plugin.host import Plugins
from thumbwheel.store import DeadLetter, ReplayCounts, Store

__all__ = ["replay_dead_letters"]

_BATCH = 1000


def replay_dead_letters(
    config: Config, plugins: Plugins, store: Store, source: str | None = None
) -> dict[str, ReplayCounts]:
    """Read every dead letter again as its source is configured now; return what became of them.

    Raises:
        InputError: There is no such source, or one that has dead letters is not configured.
        PluginError: A `process_events` plugin failed; the letters of its batch stay.
    """
    known = {configured.name: configured for configured in config.sources}
    dead = [counts.source for counts in store.source_counts() if counts.dead_letters]
    if source is not None and source not in known:
        raise InputError(f"there is no source {source!r}; the sources are {', '.join(known)}")
    replayed = {}
    for name in [source] if source is not None else dead:
        if name not in known:
            raise InputError(
                f"the source {name!r} has dead letters and is not in the configuration; put it "
                "back, or name another one"
            )
        parser = parser_for(known[name], config.base_dir)
        store.adopt_namespace(name, known[name].id_namespace)
        counts, last = ReplayCounts(), -1
        while letters := store.letters_to_replay(name, last, _BATCH):
            ids = [letter_id for letter_id, _ in letters]
            raws = [raw for _, raw in letters]
            parsed = parser.parse_batch(raws)
            unread = [(ids[index], raws[index], reason) for index, reason, *_ in parsed.malformed]
            # What is kept has been seen by the plugins, the reasons of today as those of then.
            seen = process_letters([DeadLetter("", raw, why) for _, raw, why in unread], plugins)
            reasons = {
                letter_id: letter.reason
                for (letter_id, *_), letter in zip(unread, seen, strict=True)
            }
            processed = process(parsed.events, plugins)
            counts += store.resolve_dead_letters(
                name,
                processed.events,
                [letter_id for letter_id in ids if letter_id not in reasons],
                reasons,
                plugin_counts=processed.counts,
                now=datetime.now(UTC),
                namespace=known[name].id_namespace,
            )
            last = ids[-1]
        replayed[name] = counts
    return replayed
