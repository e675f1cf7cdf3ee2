"""What networks of all stages share: backbones, weights files, checkpoints of other libraries."""
