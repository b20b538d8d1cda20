"""Training: data, models, learners, and the process in which a member trains."""
