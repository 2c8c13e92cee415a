"""Debiasing: training recipes, head refits, and the checks that say when a method cannot work."""
