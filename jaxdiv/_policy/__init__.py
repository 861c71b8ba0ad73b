"""What policies are trained with: KL of samples, trust regions and penalties."""
