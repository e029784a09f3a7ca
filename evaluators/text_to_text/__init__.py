"""A T5 that names classes: reading, training and scoring."""
