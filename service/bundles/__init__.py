"""A bundle: one sweep as a zip that needs nothing else, and that another service takes in again.

spec.yaml                 as it was submitted
arms.json                 every configuration with its defaults written out
trials.csv  reports.csv   everything that was recorded
table.*  comparisons.json figures/   with captions.md
methods.*                 how the numbers were made, in words
environment.json          what each attempt ran on
rows/*.jsonl              the database's rows: what `lrd import` reads
SHA256SUMS                of all of the above

The sums say that a bundle arrived as it was made, not who made it: whoever sends one may have
written it by hand. So nothing in it is believed that the service would not have written itself.
"""
