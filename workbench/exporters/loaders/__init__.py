"""What a trainer loads an export with: each module stands on its own and needs only that trainer.

An export takes the one that it needs along, so that the trainer's environment needs no workbench.
"""
