"""The fault bench: which faults the gates find, and whether they alarm at healthy models."""
