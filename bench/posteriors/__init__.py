"""Real posteriors, with moments from long NUTS runs, for fits to be judged by."""
