"""Offline trajectory analysis and credit assignment for LLM agents trained with RL."""
