"""What only the chapters need: the paper's sessions, settings, scores and claims, results files, figures."""
