"""What the REST API takes and gives, for its OpenAPI document.

The answers are made by `views` and by the analysis; that they are as said here is tested by asking.
"""
