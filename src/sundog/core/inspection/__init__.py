"""The files of a bias inspection: query, verdict events, feedback, results, archive; no torch."""
