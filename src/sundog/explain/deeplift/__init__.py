"""The Rescale rule on the operations that a network really runs, whatever its modules are."""
