"""Small networks on word vectors, as functions of their weights."""
