"""Compose files → Hopper's objects. Pure, but for the files that `reading.files` reads.

`reading` makes one model of all files of a project, `services` makes a template of each service, `convert` puts both
together. Nothing that the input says goes silently: `report` names what is lost or changed.
"""
