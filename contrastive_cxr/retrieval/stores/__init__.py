"""Galleries past memory: rows and vectors in Lance files or in PostgreSQL, searched where they lie."""
