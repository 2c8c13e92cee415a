"""How well a map predicts what the classifier does when pixels change."""
