"""Settings that must stand before torch is imported."""

import os

# As the command line sets it: torch's threads block instead of spinning while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
