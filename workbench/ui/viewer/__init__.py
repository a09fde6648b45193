"""The rollout viewer: what it is given, its scripts, and the Streamlit components."""
