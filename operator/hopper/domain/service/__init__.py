"""Service of an instance with a template: merge, validation, rendering and comparison. Pure functions without I/O.

Modules in the order of their use:

- `merge`: applies overrides to a template. The result, `EffectiveService`, knows the origin of each value.
- `problems`: validates an effective service. Each `ServiceProblem` names the field and the fix.
- `naming`: names and labels of the objects of an instance. `NameConflicts` makes sure that two instances differ.
- `environment`, `config_files`, `text_template`: order of variables, and templated configuration files.
- `blueprint`: combines all of the above into a `Blueprint`, ready to render.
- `revision`: hashes of a blueprint, which show whether running pods are outdated.
- `render`: turns a blueprint into manifests, given a `Mode` for the phase.
- `drift`: compares rendered with live objects, and removes fields that others have added.
- `explain`: lists every value with its origin, for users.
- `template_status`: status of a HopperTemplate.
"""
