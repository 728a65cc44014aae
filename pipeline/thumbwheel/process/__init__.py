"""What processes share with each other and with the machine: locks, files, ports.

- `locks`: what only one process may do at a time.
- `anonymous`: files without a name, through which processes hand each other megabytes.
- `spawn`: a helping process, with a pipe to it.
- `durable`: files that appear whole or not at all.
- `extras`: what an installation lacks, told as the extra that brings it.
- `web`, `guarded`: an HTTP server in a thread of this process, and its limits on connections.
"""
