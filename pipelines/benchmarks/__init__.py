"""The challenges: submission files, official scores, reports."""
