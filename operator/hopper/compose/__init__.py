"""Conversion of compose files into Hopper's objects.

`reading` merges the files of a project into one model, `services` converts each service into a template, and `hosts`
adjusts the addresses by which services reach each other. `convert` runs all of them. Only `reading.file_readers` and
`reading.sources` read files. `report` collects everything that is lost or changed.
"""
