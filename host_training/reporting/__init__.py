"""What people read about a model or a table: report, plots, model card, data card."""
