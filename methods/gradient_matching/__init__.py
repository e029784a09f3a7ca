"""Gradient matching of a generator against learners: DiLM, section 3.3."""
