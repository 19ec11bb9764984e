"""The supply chain of the image: its bill of materials, and known vulnerabilities of its dependencies."""
