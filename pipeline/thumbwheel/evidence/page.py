"""How a page is made: from a template of this package, in which whatever is shown is escaped."""

from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

__all__ = ["page_template"]


def page_template(path: str, **filters: Callable[..., object]) -> Template:
    """Return a template by its path in this package, with filters of its own."""
    environment = Environment(
        loader=PackageLoader("thumbwheel.evidence", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(path)
