"""The controller: watch events → keyed queue → gather → plan → apply."""
