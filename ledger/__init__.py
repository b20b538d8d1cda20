"""What is true about a federation, and how anyone can check it offline."""
