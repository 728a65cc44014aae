"""The commands, each a few lines over the engine.

- `cycles`: a configuration, a cycle and what came of it; the demo.
- `store`: fill the store, hold it, ask it, mend it.
- `pairs`: what became of events, pairs and datasets; exports.
- `labelling`: rankings by people, and answers by a model.
- `audit`: what the pairs teach.
- `plugins`: list, write and check plugins.
- `privacy`: forget a user.
"""
