"""A bundle: one sweep as a self-contained zip that another service can import.

spec.yaml                 as it was submitted
arms.json                 every configuration with its defaults written out
trials.csv  reports.csv   everything that was recorded
table.*  comparisons.*  effects.*  figures/   with captions.md
descents.json             of a sweep of descents: each arm's paths
methods.*                 how the numbers were made, in words
environment.json          what each attempt ran on
rows/*.jsonl              the database's rows: what `lrd import` reads
SHA256SUMS                of all of the above

The checksums show that a bundle arrived as it was made, not who made it: the sender may have
written it by hand. So nothing is accepted that the service would not have written itself.
"""
