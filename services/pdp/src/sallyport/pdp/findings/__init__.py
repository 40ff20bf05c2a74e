"""What would load, and yet may not say what was meant: findings about a whole policy set, each with a mend."""
