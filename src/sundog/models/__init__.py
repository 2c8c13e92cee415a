"""Classifiers: adapter, layers, zoo, reference nets, training."""
