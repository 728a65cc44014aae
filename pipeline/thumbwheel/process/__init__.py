"""What processes share with each other and with the machine: locks, files, ports.

- `locks`: what only one process may do at a time.
- `anonymous`: files without a name, through which processes hand each other megabytes.
- `spawn`: a helping process, with a pipe to it.
- `web`: an HTTP server in a thread of this process.
"""
