"""Risk per image: representation, epistemic and aleatoric."""
