"""Arguments of the Terraform provider hashicorp/aws (5 and 6), of the resources that a template
has, by the provider's documentation. Those of a block are below its name."""

from __future__ import annotations

from collections.abc import Iterator


def _named(text: str) -> Iterator[str]:
    """The paths of a list in which NAME(...) is a block."""
    above: list[str] = []
    last = ""
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            above.append(last)
        elif word == ")":
            above.pop()
        else:
            last = word
            yield ".".join([*above, word])


_TRAFFIC = """type wait_interval_in_seconds canary_size(type value) linear_step_size(type value)"""
_VARIANT = """variant_name model_name instance_type initial_instance_count initial_variant_weight
    model_data_download_timeout_in_seconds container_startup_health_check_timeout_in_seconds
    volume_size_in_gb serverless_config(max_concurrency memory_size_in_mb provisioned_concurrency)
    routing_config(routing_strategy)"""
_METRIC = "metric_name namespace period stat unit dimensions"
_TEXTS = {
    "aws_s3_bucket": "bucket tags force_destroy",
    "aws_s3_bucket_public_access_block": """bucket block_public_acls block_public_policy
        ignore_public_acls restrict_public_buckets""",
    "aws_s3_bucket_server_side_encryption_configuration": """bucket rule(bucket_key_enabled
        apply_server_side_encryption_by_default(sse_algorithm kms_master_key_id))""",
    "aws_s3_bucket_lifecycle_configuration": """bucket rule(id status filter(prefix)
        abort_incomplete_multipart_upload(days_after_initiation))""",
    "aws_iam_role": "name assume_role_policy description permissions_boundary tags",
    "aws_iam_role_policy": "name role policy",
    "aws_sagemaker_model": """name execution_role_arn enable_network_isolation tags
        primary_container(image model_data_url environment)
        vpc_config(subnets security_group_ids)""",
    "aws_sagemaker_endpoint_configuration": f"""name kms_key_arn tags
        production_variants({_VARIANT}) shadow_production_variants({_VARIANT})
        data_capture_config(enable_capture initial_sampling_percentage destination_s3_uri
            kms_key_id capture_options(capture_mode)
            capture_content_type_header(csv_content_types json_content_types))
        async_inference_config(client_config(max_concurrent_invocations_per_instance)
            output_config(s3_output_path s3_failure_path kms_key_id
                notification_config(success_topic error_topic include_inference_response_in)))""",
    "aws_sagemaker_endpoint": f"""name endpoint_config_name tags deployment_config(
        auto_rollback_configuration(alarms(alarm_name))
        blue_green_update_policy(maximum_execution_timeout_in_seconds
            termination_wait_in_seconds traffic_routing_configuration({_TRAFFIC})))""",
    "aws_appautoscaling_target": """service_namespace resource_id scalable_dimension min_capacity
        max_capacity role_arn tags""",
    "aws_appautoscaling_policy": """name policy_type service_namespace resource_id
        scalable_dimension target_tracking_scaling_policy_configuration(target_value
            disable_scale_in scale_in_cooldown scale_out_cooldown
            predefined_metric_specification(predefined_metric_type resource_label)
            customized_metric_specification(metric_name namespace statistic unit
                dimensions(name value)))
        step_scaling_policy_configuration(adjustment_type cooldown metric_aggregation_type
            min_adjustment_magnitude step_adjustment(metric_interval_lower_bound
                metric_interval_upper_bound scaling_adjustment))""",
    "aws_appautoscaling_scheduled_action": """name service_namespace resource_id
        scalable_dimension schedule timezone start_time end_time
        scalable_target_action(min_capacity max_capacity)""",
    "aws_cloudwatch_metric_alarm": f"""alarm_name alarm_description comparison_operator
        evaluation_periods datapoints_to_alarm threshold treat_missing_data metric_name namespace
        period statistic extended_statistic evaluate_low_sample_count_percentiles unit dimensions
        actions_enabled alarm_actions ok_actions insufficient_data_actions tags
        metric_query(id expression label return_data metric({_METRIC}))""",
}
ARGUMENTS = {kind: set(_named(text)) for kind, text in _TEXTS.items()}
