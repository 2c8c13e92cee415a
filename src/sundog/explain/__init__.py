"""Attribution: which pixels speak for a class, one method per file, one table of methods."""
