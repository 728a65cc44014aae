"""MLflow, where candidates become model versions and one of them `@champion`.

This folder is the only user of MLflow. `client` is what the cycle calls, `candidate` what is known
about an adapter, `recording` how it is written down, `erasure` how texts are taken out again,
`bundle` its files and their hashes, `ledger` what happened to candidates, `reviews` what people
compare in its review queues, `connection` how MLflow is opened and how its errors read, `server`
its local web page.
"""

from thumbwheel.registry.candidate import Candidate
from thumbwheel.registry.client import Champion, Registry, open_registry
from thumbwheel.registry.ledger import Ledger
from thumbwheel.registry.reviews import Review, Reviews, ReviewTask
from thumbwheel.registry.server import Server, serve

__all__ = [
    "Candidate",
    "Champion",
    "Ledger",
    "Registry",
    "Review",
    "ReviewTask",
    "Reviews",
    "Server",
    "open_registry",
    "serve",
]
