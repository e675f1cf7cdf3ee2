"""What trainings of all stages share: the loop, its batches and losses, random views, run folders."""
