"""What a deployment costs a month, in figures: dated list prices as data (one JSON file a target),
and what is estimated by them. What a resource costs in words is infra/costs.py."""
