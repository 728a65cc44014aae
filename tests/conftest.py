"""Settings for every test."""

import os
import signal

from hypothesis import settings

# As the command line sets it: torch's threads block instead of spinning while they wait.
# This must stand before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Nothing is fetched, and no library counts its users; huggingface_hub reads it when imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A shell makes what it starts in the background deaf to Ctrl-C, and the processes of tests with it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Other tests run beside, so time says nothing about a test.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
