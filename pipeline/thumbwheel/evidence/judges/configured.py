"""The judge that a configuration names."""

import difflib
from collections.abc import Callable
from pathlib import Path

from thumbwheel.config import EndpointConfig, JudgeConfig
from thumbwheel.errors import ConfigError
from thumbwheel.evidence.judges.endpoint import EndpointJudge
from thumbwheel.evidence.judges.judge import Judge
from thumbwheel.evidence.judges.people import read_people
from thumbwheel.evidence.judges.plugin_judge import PluginJudge
from thumbwheel.evidence.judges.vote_model import VoteModel
from thumbwheel.plugin.host import Plugins

__all__ = ["make_judge"]

_OWN = ("vote_model", "endpoint", "people")


def make_judge(
    config: JudgeConfig,
    *,
    plugins: Plugins,
    endpoint: EndpointConfig | None,
    fit: Callable[[], VoteModel],
    snapshot: Path,
) -> Judge:
    """Return the judge that a configuration names.

    Args:
        config: Which, and its rubric.
        plugins: Those of the configuration; one with `judge_answers` may be named.
        endpoint: The section `[endpoint]`, where there is one.
        fit: Makes the vote model, see `fit_vote_model`; called only for it.
        snapshot: What raters hold, for `people`; see `read_people`.

    Raises:
        ConfigError: There is no such judge, or `[endpoint]` or its key is missing.
        ModelError: The base model's embeddings are not finite.
    """
    if config.use == "vote_model":
        return fit()
    if config.use == "endpoint":
        if endpoint is None:
            raise ConfigError(
                "`judges` names `endpoint`, but there is no [endpoint] in the configuration; add "
                "one with `url` and `model`, or use `vote_model`"
            )
        return EndpointJudge(endpoint, config.rubric)
    if config.use == "people":
        return read_people(snapshot)
    of_plugins = [info.name for info in plugins.infos if "judge_answers" in info.hooks]
    if config.use in of_plugins:
        return PluginJudge(plugins, config.use)
    known = [*_OWN, *of_plugins]
    if any(info.name == config.use for info in plugins.infos):
        raise ConfigError(
            f"the plugin {config.use!r}, which `judges` names, has no `judge_answers`; judges are "
            f"{', '.join(known)}"
        )
    close = difflib.get_close_matches(config.use, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ConfigError(
        f"there is no judge {config.use!r}{hint}; judges are {', '.join(known)}, and plugins with "
        "`judge_answers` that [[plugins]] lists"
    )
