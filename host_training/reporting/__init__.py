"""What is known of a model, for people: page, plots, card."""
