"""Class-conditional language models of a pool: making, training and sampling them."""
