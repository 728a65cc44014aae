"""The embedded demo: a planted world with a known truth, and a base model small enough for it."""
