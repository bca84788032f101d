"""Schemas of the REST API's requests and answers, for its OpenAPI document.

`views` and the analysis make the answers; the tests check real ones against these schemas.
"""
