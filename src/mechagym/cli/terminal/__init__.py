"""What a person sees: tables, progress, the summary of a job. Only these modules import rich."""
