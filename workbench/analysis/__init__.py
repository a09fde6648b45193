"""Analysis of credit: comparison, prediction, tuning and audit."""
