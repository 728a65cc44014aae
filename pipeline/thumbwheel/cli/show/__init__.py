"""What the commands print, each for the commands of its name.

- `tables`: what everything that is shown is made of.
- `progress`: the display of what is going on.
- `cycle`, `store`, `pairs`, `labelling`, `audit`, `plugins`, `privacy`: their results.
"""
