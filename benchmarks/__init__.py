"""What is fast, beside what others do, as ratios measured side by side in one run."""
