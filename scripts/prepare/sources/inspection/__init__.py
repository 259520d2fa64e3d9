"""What can be known of a source in a moment, before anything heavy is imported."""
