"""SageMaker against the double of AWS."""
