"""Events in topics of Kafka.

- `connector`: the topics as a source, and their options.
- `log`: partitions, read from their stored offsets.
- `records`: records, decoded.
- `probe`: whether a broker answers, asked before anything else.
- `errors`: what went wrong, told in one line.
"""
