"""What talks to a cloud: plan, apply, invoke, roll back, delete."""
