"""From MLflow's registry on to SageMaker and AzureML."""
