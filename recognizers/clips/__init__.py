"""What a video network sees: which frames, how they are cut, and how decoded clips are kept."""
