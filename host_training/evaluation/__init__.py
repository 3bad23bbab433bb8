"""How good a classifier is: scores, slices, robustness, and what a neutral baseline gains."""
