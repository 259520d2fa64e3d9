"""Template deployments at the resource manager: expressions, what a template comes to, and what it
would change."""
