"""SageMaker against the fake of AWS."""
