"""Methods with values of states, backed up or averaged over rollouts of a group."""
