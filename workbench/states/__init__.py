"""States of steps: their texts, vectors, similarities, keys and neighbours."""
