"""Reading of the files of a compose project into one model."""
