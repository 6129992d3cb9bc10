"""What the keyword spotter finds, and what it takes for keywords."""
